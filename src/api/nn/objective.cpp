#include "api/nn/objective.h"

#include <ATen/ATen.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "api/nn/draws.h"
#include "api/nn/passage.h"
#include "gradthru/expectation.h"

namespace gradthru::nn {
namespace {

using at::Tensor;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// log P of the units of all layers given those below, [B].
Tensor log_probability(const std::vector<LayerSample>& layers) {
  Tensor sum;
  for (const auto& [x, a] : layers) {
    const Tensor part = at::log_sigmoid(at::where(x > 0, a, -a)).flatten(1).sum(1);
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

/// Zero, whose gradient is that of `surrogate`.
Tensor gradient_of(const Tensor& surrogate) {
  return surrogate - surrogate.detach();
}

/// All states of a layer, [2^n, n].
Tensor all_states(const StochasticBinaryLayerImpl& layer) {
  const int64_t n = layer.weight.size(0);
  const Tensor on = 1 - states(2, n, 0, int64_t{1} << n).to(layer.weight.scalar_type());
  return layer.coding() == Coding::plus_minus_one ? 2 * on - 1 : on;
}

/// The probability of every state for rows of preactivations: [M, n] and [Q, n] to [M, Q].
Tensor law(const Tensor& a, const Tensor& all) {
  const Tensor on = (all > 0).to(a.scalar_type());
  return (at::log_sigmoid(a).matmul(on.t()) + at::log_sigmoid(-a).matmul((1 - on).t())).exp();
}

bool propagates_moments(Method method) {
  return method == Method::ap1 || method == Method::tanh || method == Method::ap2 ||
         method == Method::local_reparam;
}

Propagation propagation_of(Method method) {
  return method == Method::ap1    ? Propagation::ap1
         : method == Method::tanh ? Propagation::tanh
         : method == Method::ap2  ? Propagation::ap2
                                  : Propagation::local_reparam;
}

/// The objective of a network by each family of estimators, at one input: mean over the batch.
class Objective {
 public:
  Objective(const StochasticBinarySequentialImpl& net, const Tensor& x, const Tensor& target,
            const Estimator& e, const NetworkOptions& options)
      : net_(net),
        x_(x),
        target_(target),
        e_(e),
        options_(options),
        stream_{layer_offsets_used(e) == 0 ? Key{} : key_of(options), layer_offsets_used(e),
                options.batch0},
        pass_{net.layers(), stream_, options_, e_} {}

  Tensor value() const {
    if (propagates_moments(e_.method)) return moments();
    switch (e_.method) {
      case Method::exact:
        return exact();
      case Method::reinforce:
        return reinforce();
      case Method::rloo:
        return rloo();
      case Method::arm:
        return arm();
      case Method::disarm:
      case Method::indecater:
        fail(to_string(e_) +
             " has no form for networks; known: psa, hard_st, concrete, ap1, tanh, "
             "ap2, local_reparam, reinforce, rloo, arm, exact and every pathwise "
             "estimator");
      default:
        return sampled();
    }
  }

 private:
  size_t layers() const { return net_.layers().size(); }

  Tensor outputs(const Tensor& units) const { return at::linear(units, net_.weight, net_.bias); }

  Tensor head(const LayerSample& top, HeadSignal signal) const {
    HeadInput input = head_input(top);
    if (const double tau = traits(e_).sampling_tau; tau > 0) {
      input.preactivation = input.preactivation / tau;
    } else {  // likeliest values: none would be another
      input.preactivation = at::where(input.x > 0, kInfinity, -kInfinity).to(input.x.scalar_type());
    }
    return head_loss(input, net_.weight, net_.bias, target_,
                     {net_.loss_kind(), net_.coding(), signal, options_.one_flip_average});
  }

  /// The loss of one sample, [B]; no gradient.
  Tensor plain(const Tensor& units) const {
    const at::NoGradGuard no_grad;
    return loss_of(net_.loss_kind(), outputs(units), target_);
  }

  Tensor sampled() const {
    const auto all = pass_.run(x_);
    if (traits(e_).relaxed) {
      return loss_of(net_.loss_kind(), outputs(all.back().x.flatten(1)), target_).mean();
    }
    return head(all.back(), e_.method == Method::psa ? HeadSignal::flip : HeadSignal::derivative)
        .mean();
  }

  Tensor moments() const {
    const Propagation rule = propagation_of(e_.method);
    LayerMoments m{x_, {}};
    for (size_t l = 0; l < layers(); ++l) {
      const auto& layer = *net_.layers()[l];
      m.mean = as_input_of(layer, m.mean);
      if (m.variance.defined()) m.variance = as_input_of(layer, m.variance);
      std::optional<Key> key;
      if (rule == Propagation::local_reparam) key = key_at(l, m.mean);
      m = layer.moments(m, rule, key);
    }
    Tensor eta = outputs(m.mean.flatten(1));
    if (m.variance.defined()) {
      const Tensor v = at::linear(m.variance.flatten(1), net_.weight.square());
      const Key key = stream_.at(layers(), layers(), 0, eta.size(1));
      if (options_.squashed_head) {
        eta = unit_moments(eta, v, rule, key, net_.coding()).mean;
      } else if (rule == Propagation::local_reparam) {
        eta = eta + v.sqrt() * normals(eta, key);
      }
    }
    return loss_of(net_.loss_kind(), eta, target_).mean();
  }

  Tensor reinforce() const {
    const bool moving = e_.baseline == kMovingBaseline;
    if (moving && !(options_.baseline && options_.baseline->dim() == 0)) {
      fail("baseline=moving needs its state, a tensor without dimensions, in options.baseline");
    }
    const auto all = pass_.run(x_);
    const Tensor f = plain(all.back().x.flatten(1));
    const Tensor signal = moving ? f - options_.baseline->to(f.scalar_type()) : f - e_.baseline;
    const Tensor score = gradient_of((signal * log_probability(all)).mean());
    if (moving) {
      const at::NoGradGuard no_grad;
      Tensor state = *options_.baseline;
      state.mul_(options_.decay).add_(f.mean(), 1 - options_.decay);
    }
    return head(all.back(), HeadSignal::derivative).mean() + score;
  }

  Tensor rloo() const {
    const auto S = static_cast<size_t>(e_.samples);
    std::vector<Tensor> f, scores, values;
    for (size_t s = 0; s < S; ++s) {
      const auto all = pass_.run(x_, s);
      f.push_back(plain(all.back().x.flatten(1)));
      scores.push_back(log_probability(all));
      values.push_back(head(all.back(), HeadSignal::derivative));
    }
    const Tensor F = at::stack(f);
    const Tensor signal = (F - F.mean(0)) * (static_cast<double>(S) / static_cast<double>(S - 1));
    return at::stack(values).mean() + gradient_of((signal * at::stack(scores)).mean());
  }

  /// Layer by layer a pair of states from one uniform, with fresh tails; the main path goes on with
  /// the first of the pair.
  Tensor arm() const {
    if (options_.given) fail("arm: given states do not say which pair they belong to");
    const auto all = pass_.run(x_);
    Tensor score;
    for (size_t l = 0; l < layers(); ++l) {
      const auto& [state, a] = all[l];
      // The uniforms behind the states of the main path.
      const Tensor v = uniforms(a, stream_.at(l, layers(), 0, state[0].numel()));
      const Tensor other = coded(v < at::sigmoid(a.detach()), a);
      const uint64_t s = 1 + 2 * l;
      const Tensor first = plain(pass_.tail(l, state, s)),
                   second = plain(pass_.tail(l, other, s + 1));
      const Tensor part = ((v - 0.5) * a).flatten(1).sum(1) * (first - second);
      score = score.defined() ? score + part : part;
    }
    return head(all.back(), HeadSignal::derivative).mean() + gradient_of(score.mean());
  }

  Tensor exact() const {
    for (const auto& layer : net_.layers()) {
      if (is_linear(*layer) && layer->weight.size(0) <= net_.kMostUnits) continue;
      fail("exact enumerates linear layers of at most " + std::to_string(net_.kMostUnits) +
           " units, got a weight of sizes " + c10::str(layer->weight.sizes()));
    }
    const auto& top = *net_.layers().back();
    const int64_t B = x_.size(0);
    const Tensor eta = outputs(all_states(top));
    Tensor value = loss_of(net_.loss_kind(), eta.unsqueeze(1).expand({-1, B, -1}), target_);
    for (size_t l = layers() - 1; l > 0; --l) {
      const auto& layer = *net_.layers()[l];
      const Tensor a = layer.preactivation(all_states(*net_.layers()[l - 1]));
      value = law(a, all_states(layer)).matmul(value);
    }
    const auto& first = *net_.layers().front();
    const Tensor p = law(first.preactivation(as_input_of(first, x_)), all_states(first));
    return (p * value.t()).sum(1).mean();
  }

  Key key_at(size_t l, const Tensor& input) const {
    const int64_t units = stream_.batch0 == 0 ? 0 : pass_.units_per_example(l, input);
    return stream_.at(l, layers(), 0, units);
  }

  Tensor coded(const Tensor& on, const Tensor& like) const {
    const Tensor b = on.to(like.scalar_type());
    return net_.coding() == Coding::plus_minus_one ? 2 * b - 1 : b;
  }

  const StochasticBinarySequentialImpl& net_;
  const Tensor &x_, &target_;
  const Estimator& e_;
  const NetworkOptions& options_;
  Stream stream_;
  Passage pass_;
};

}  // namespace

Tensor objective(const StochasticBinarySequentialImpl& net, const Tensor& x, const Tensor& target,
                 const Estimator& estimator, const NetworkOptions& options) {
  return Objective(net, x, target, estimator, options).value();
}

}  // namespace gradthru::nn
