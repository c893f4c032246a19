#include "gradthru/expectation.h"

#include <ATen/ATen.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "api/registry.h"
#include "api/sampling_call.h"
#include "api/shape_text.h"
#include "gradthru/categorical.h"

namespace gradthru {
namespace {

using at::Tensor;
using Combine = std::function<Tensor(const Tensor& values)>;

/// Where f is wanted, and what becomes of its values.
struct Half {
  Tensor points;
  Combine combine;
};

[[noreturn]] void fail(const Estimator& e, const std::string& what) {
  throw InvalidInput(std::string(name(e.method)) + ": " + what);
}

/// L variables as the score estimators see them: logits [B.., L, K], drawn categories [E, B.., L].
/// A Bernoulli variable with logit a has the logits [a, 0]: category 0 is b = 1.
struct Variables {
  const Tensor& given_logits;
  Estimator estimator;
  std::optional<Coding> coding;
  const ExpectationOptions& options;
  Tensor logits;

  Variables(const Tensor& given_logits, const Estimator& e, std::optional<Coding> coding,
            const ExpectationOptions& options)
      : given_logits(given_logits),
        estimator(e),
        coding(coding),
        options(options),
        logits(coding ? at::stack({given_logits, at::zeros_like(given_logits)}, -1)
                      : given_logits) {}

  int64_t L() const { return logits.size(-2); }
  int64_t K() const { return logits.size(-1); }
  double tau() const { return estimator.tau_f.start; }
  Tensor tempered() const { return logits / tau(); }

  /// Sizes [E, B.., L].
  std::vector<int64_t> index_sizes(int64_t count) const {
    std::vector<int64_t> sizes{count};
    for (int64_t d = 0; d + 1 < logits.dim(); ++d) sizes.push_back(logits.size(d));
    return sizes;
  }

  /// What f receives for categories [.., L].
  Tensor points_of(const Tensor& index) const {
    if (!coding) {
      std::vector<int64_t> sizes = index.sizes().vec();
      sizes.push_back(K());
      return at::zeros(sizes, logits.options()).scatter_(-1, index.unsqueeze(-1), 1.0);
    }
    const double off = *coding == Coding::zero_one ? 0 : -1;
    const auto scalar = [&](double value) { return at::full({}, value, logits.options()); };
    return at::where(index.eq(0), scalar(1), scalar(off));
  }

  void check_given(const Tensor& given, int64_t count) const {
    if (given.sizes() == at::IntArrayRef(index_sizes(count))) return;
    fail(estimator, "given must have the shape " + shape_text(index_sizes(count)) + ", got " +
                        shape_text(given.sizes()));
  }

  /// Categories [count, B.., L], drawn or given.
  Tensor draw(int64_t count) const {
    if (options.given) {
      check_given(*options.given, count);
      const double off = coding == Coding::zero_one ? 0 : -1;
      return coding ? options.given->eq(off).to(at::kLong) : *options.given;
    }
    const Tensor fixed = logits.detach();
    return sample(fixed, st({.tau_f = estimator.tau_f, .tau_b = 1.0}),
                  {.samples = count, .key = options.key, .generator = options.generator})
        .index;
  }

  /// log P of categories [E, B.., L]: [E, B..].
  Tensor log_prob(const Tensor& index) const {
    std::vector<int64_t> sizes = index.sizes().vec();
    sizes.push_back(K());
    return at::log_softmax(tempered(), -1)
        .expand(sizes)
        .gather(-1, index.unsqueeze(-1))
        .squeeze(-1)
        .sum(-1);
  }
};

/// Zero, with the derivative one to `x`: where x is finite, elsewhere none.
Tensor zero_of(const Tensor& x) {
  const Tensor finite = at::where(x.isfinite(), x, at::zeros({}, x.options()));
  return finite - finite.detach();
}

/// The score-function term: zero, with the derivative d log P.
Tensor zero_of_log_prob(const Variables& v, const Tensor& index) {
  return zero_of(v.log_prob(index));
}

Half exact_half(const Variables& v) {
  const double count = std::pow(static_cast<double>(v.K()), static_cast<double>(v.L()));
  if (count > static_cast<double>(v.options.most_states)) {
    fail(v.estimator, std::to_string(v.L()) + " variables of " + std::to_string(v.K()) +
                          " categories have " + number_text(count) + " states; at most " +
                          std::to_string(v.options.most_states) + " are enumerated");
  }
  if (v.options.given) fail(v.estimator, "draws nothing, got samples in `given`");
  const auto E = static_cast<int64_t>(count);
  std::vector<int64_t> sizes(static_cast<size_t>(v.logits.dim()), 1);
  sizes.front() = E;
  sizes.back() = v.L();
  const Tensor index =
      states(v.K(), v.L(), 0, E).to(v.logits.device()).view(sizes).expand(v.index_sizes(E));
  return {v.points_of(index),
          [p = v.log_prob(index).exp()](const Tensor& values) { return (p * values).sum(0); }};
}

/// f + sg(f - baseline) d log P.
Half reinforce_half(const Variables& v) {
  const Estimator& e = v.estimator;
  const bool moving = e.baseline == kMovingBaseline;
  if (moving && !(v.options.baseline && v.options.baseline->dim() == 0)) {
    fail(e, "baseline=moving needs its state, a tensor without dimensions, in options.baseline");
  }
  if (!(v.options.decay >= 0 && v.options.decay < 1)) {
    fail(e, "decay must be in [0, 1), got " + number_text(v.options.decay));
  }
  const Tensor index = v.draw(v.options.samples);
  const Tensor state = moving ? *v.options.baseline : at::full({}, e.baseline, v.logits.options());
  return {v.points_of(index),
          [=, score = zero_of_log_prob(v, index), decay = v.options.decay](const Tensor& values) {
            const Tensor f = values.detach();
            const Tensor estimate = values + (f - state) * score;
            // A mean that includes the own sample is no baseline: it changes after use only.
            if (moving) state.lerp_(f.mean().to(state.scalar_type()), 1 - decay);
            return estimate.mean(0);
          }};
}

/// Groups of samples: [S, n, B..] of [S * n, B..].
Tensor grouped(const Tensor& t, int64_t each) {
  std::vector<int64_t> sizes = t.sizes().vec();
  sizes[0] /= each;
  sizes.insert(sizes.begin() + 1, each);
  return t.reshape(sizes);
}

/// (1/n) sum over s of f_s + sg(f_s - mean of the others) d log P(x_s).
Half rloo_half(const Variables& v) {
  const int64_t n = v.estimator.samples;
  const Tensor index = v.draw(v.options.samples * n);
  return {v.points_of(index), [n, score = zero_of_log_prob(v, index)](const Tensor& values) {
            const Tensor f = grouped(values.detach(), n);
            const Tensor others = (f.sum(1, true) - f) / static_cast<double>(n - 1);
            const Tensor weight = (f - others).reshape(values.sizes());
            return (values + weight * score).mean(0);
          }};
}

/// The logit of the first category against the second.
Tensor binary_logit(const Variables& v) {
  if (v.coding) return v.given_logits;
  if (v.K() != 2) {
    fail(v.estimator, "is for variables of 2 categories, got " + std::to_string(v.K()));
  }
  return v.logits.select(-1, 0) - v.logits.select(-1, 1);
}

/// Uniforms [S, B.., L]: a relaxed sample at temperature 1 and logit 0 is the uniform itself.
Tensor uniforms(const Variables& v) {
  const int64_t count = v.options.samples;
  if (v.options.given) {
    v.check_given(*v.options.given, count);
    return v.options.given->to(at::kDouble);
  }
  std::vector<int64_t> sizes = v.index_sizes(count);
  sizes.erase(sizes.begin());
  const Estimator relaxed = gumbel_softmax({.tau = 1.0, .hard = false});
  return sample_binary(at::zeros(sizes, v.logits.options().dtype(at::kDouble)), relaxed,
                       {.samples = count, .key = v.options.key, .generator = v.options.generator});
}

/// f at the antithetic pair b1 = 1[L > -a], b2 = 1[L < a], where L = logit of the uniform;
/// (f(b1) + f(b2)) / 2 + sum over i of sg(gradient_i) da_i.
Half antithetic_half(const Variables& v) {
  const Tensor logit = binary_logit(v);
  const Tensor a = logit.detach().to(at::kDouble) / v.tau();
  const Tensor u = uniforms(v);
  const Tensor noise = at::logit(u);
  const Tensor first = noise.gt(-a), second = noise.lt(a);
  const Tensor factor = v.estimator.method == Method::arm
                            ? (u - 0.5) / v.tau()
                            : (first.to(at::kDouble) - second.to(at::kDouble)) *
                                  at::sigmoid(a.abs()) * (0.5 / v.tau());
  const auto categories = [](const Tensor& b) { return b.logical_not().to(at::kLong); };
  // Pair by pair: the first of each, then the second of each.
  const Tensor index = at::cat({categories(first), categories(second)});
  return {v.points_of(index), [factor = factor.to(v.logits.scalar_type()),
                               step = zero_of(logit)](const Tensor& values) {
            const std::vector<Tensor> f = values.chunk(2);
            const Tensor weight = (f[0] - f[1]).detach().unsqueeze(-1) * factor;
            return ((f[0] + f[1]) / 2 + (weight * step).sum(-1)).mean(0);
          }};
}

/// f(x) + sum over i of sg(gradient_i) dlogits_i, where gradient_i = J(pi_i) F_i / tau and F_ik is
/// f with x_i replaced by k. One evaluation serves k = x_i for every i.
Half indecater_half(const Variables& v) {
  const int64_t L = v.L(), K = v.K(), each = 1 + L * (K - 1);
  const Tensor drawn = v.draw(v.options.samples * v.estimator.samples);  // [S, B.., L]
  std::vector<Tensor> changed{drawn};
  for (int64_t i = 0; i < L; ++i) {
    for (int64_t step = 1; step < K; ++step) {
      Tensor index = drawn.clone();
      index.select(-1, i).add_(step).remainder_(K);
      changed.push_back(index);
    }
  }
  const Tensor index = at::stack(changed, 1);  // [S, 1 + L (K - 1), B.., L]
  const Tensor shift = at::arange(1, K, drawn.options());
  const Tensor other = (drawn.unsqueeze(-1) + shift).remainder(K);  // [S, B.., L, K - 1]
  const Tensor column = at::cat({drawn.unsqueeze(-1), other}, -1);
  return {v.points_of(index.flatten(0, 1)),
          [=, tau = v.tau(), pi = at::softmax(v.tempered().detach(), -1),
           step = zero_of(v.logits)](const Tensor& values) {
            const Tensor f = grouped(values, each);  // [S, 1 + L (K - 1), B..]
            const Tensor own = f.select(1, 0), fixed = f.detach();
            std::vector<int64_t> sizes = drawn.sizes().vec();
            sizes.push_back(K - 1);
            const Tensor changes =
                fixed.slice(1, 1).movedim(1, -1).reshape(sizes);  // [S, B.., L, K - 1]
            const Tensor same = own.detach().unsqueeze(-1).unsqueeze(-1);
            const Tensor in_order = at::cat({same.expand_as(changes.slice(-1, 0, 1)), changes}, -1);
            const Tensor table = at::zeros_like(in_order).scatter_(-1, column, in_order);
            const Tensor grad = pi * (table - (pi * table).sum(-1, true)) / tau;
            return (own + (grad * step).sum({-2, -1})).mean(0);
          }};
}

Half pathwise_half(const Variables& v) {
  const ExpectationOptions& o = v.options;
  if (o.given) v.check_given(*o.given, o.samples);
  Tensor points;
  if (v.coding) {
    points = sample_binary(v.given_logits, v.estimator,
                           {.coding = *v.coding,
                            .samples = o.samples,
                            .given = o.given,
                            .key = o.key,
                            .generator = o.generator});
  } else {
    points =
        sample(v.logits, v.estimator,
               {.samples = o.samples, .index = o.given, .key = o.key, .generator = o.generator})
            .onehot;
  }
  return {points, [](const Tensor& values) { return values.mean(0); }};
}

Half half_of(const Variables& v) {
  switch (v.estimator.method) {
    case Method::exact:
      return exact_half(v);
    case Method::reinforce:
      return reinforce_half(v);
    case Method::rloo:
      return rloo_half(v);
    case Method::arm:
    case Method::disarm:
      return antithetic_half(v);
    case Method::indecater:
      return indecater_half(v);
    default:
      return pathwise_half(v);
  }
}

Half checked_half(const Tensor& logits, const Estimator& e, std::optional<Coding> coding,
                  const ExpectationOptions& options) {
  refuse_network_rule(e);
  const int64_t least = coding ? 1 : 2;
  if (logits.dim() < least || logits.size(-1) < 1) {
    fail(e, std::string("logits of an expectation must have the shape ") +
                (coding ? "[.., L]" : "[.., L, K]") + " with at least one " +
                (coding ? "variable" : "category") + ", got " + shape_text(logits.sizes()));
  }
  if (options.samples < 1) {
    fail(e, "samples must be >= 1, got " + std::to_string(options.samples));
  }
  if (!e.is_constant()) {
    throw InvalidInput(to_string(e) +
                       ": a scheduled temperature has no value yet; use e.at(progress)");
  }
  return half_of(Variables(logits, e, coding, options));
}

/// `combine` after a look at the shape of the values.
Combine checked_combine(Half half, bool categorical) {
  std::vector<int64_t> wanted = half.points.sizes().vec();
  wanted.resize(wanted.size() - (categorical ? 2 : 1));
  return [wanted, combine = std::move(half.combine)](const Tensor& values) {
    if (values.sizes() != at::IntArrayRef(wanted)) {
      throw InvalidInput("expectation: f must return one value per sample, of shape " +
                         shape_text(wanted) + ", got " + shape_text(values.sizes()));
    }
    return combine(values);
  };
}

}  // namespace

Evaluation::Evaluation(const Tensor& logits, const Estimator& e,
                       const ExpectationOptions& options) {
  Half half = checked_half(logits, e, std::nullopt, options);
  points_ = half.points;
  combine_ = checked_combine(std::move(half), true);
}

Evaluation::Evaluation(const Tensor& logits, const Estimator& e, Coding coding,
                       const ExpectationOptions& options) {
  Half half = checked_half(logits, e, coding, options);
  points_ = half.points;
  combine_ = checked_combine(std::move(half), false);
}

Tensor Evaluation::combine(const Tensor& values) const {
  return combine_(values);
}

Tensor expectation(const Function& f, const Tensor& logits, const Estimator& e,
                   const ExpectationOptions& options) {
  const Evaluation half(logits, e, options);
  return half.combine(f(half.points())).mean();
}

Tensor expectation(const Function& f, const Tensor& logits, const Estimator& e, Coding coding,
                   const ExpectationOptions& options) {
  const Evaluation half(logits, e, coding, options);
  return half.combine(f(half.points())).mean();
}

Tensor states(int64_t K, int64_t L, int64_t first, int64_t last) {
  if (K < 1 || L < 0 || first < 0 || last < first) {
    throw InvalidInput("states: wanted K >= 1, L >= 0 and 0 <= first <= last, got " +
                       std::to_string(K) + ", " + std::to_string(L) + ", " + std::to_string(first) +
                       ", " + std::to_string(last));
  }
  Tensor rest = at::arange(first, last, at::kLong);
  Tensor index = at::empty({last - first, L}, at::kLong);
  for (int64_t l = L; l-- > 0;) {
    index.select(1, l).copy_(rest.remainder(K));
    rest = at::floor_divide(rest, K);
  }
  return index;
}

uint64_t expectation_offsets_used(const Estimator& e, const ExpectationOptions& options) {
  if (e.method == Method::exact) return 0;
  const bool pathwise = entry_of(e.method).family == Family::pathwise;
  const int64_t each = pathwise ? 1 : e.samples;
  return offsets_of_call(e, options.given.has_value(), options.samples * each);
}

}  // namespace gradthru
