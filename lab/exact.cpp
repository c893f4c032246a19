#include "lab/exact.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "gradthru/categorical.h"

namespace gradthru::lab {
namespace {

using at::Tensor;

int64_t number_of_states(const Problem& p) {
  const double states = std::pow(static_cast<double>(p.K()), static_cast<double>(p.L()));
  if (states <= static_cast<double>(kMostStates)) return static_cast<int64_t>(states);
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", states);
  throw InvalidInput(p.name + ": " + std::to_string(p.L()) + " variables of " +
                     std::to_string(p.K()) + " categories have " + text + " states; at most " +
                     std::to_string(kMostStates) + " are enumerated");
}

/// Calls `look` with the states of one block after the other, [m, L].
void for_blocks(const Problem& p, const std::function<void(const Tensor& index)>& look) {
  const int64_t count = number_of_states(p);
  const int64_t block = std::max<int64_t>(1, kBlockElements / p.logits.numel());
  for (int64_t first = 0; first < count; first += block) {
    look(states(p.K(), p.L(), first, std::min(count, first + block)));
  }
}

/// States [m, L] for every row of the batch: [m, B, L].
Tensor for_rows(const Problem& p, const Tensor& index) {
  return index.unsqueeze(1).expand({-1, p.B(), -1});
}

/// The probabilities of states [m, L] under each row's law, [m, B, 1, 1].
Tensor probability(const Problem& p, const Tensor& index, double tau_f) {
  const Tensor log_pi = at::log_softmax(p.logits.detach() / tau_f, -1);  // [B, L, K]
  const Tensor picked = log_pi.unsqueeze(0)
                            .expand({index.size(0), p.B(), p.L(), p.K()})
                            .gather(-1, for_rows(p, index).unsqueeze(-1));
  return picked.squeeze(-1).sum(-1).exp().unsqueeze(-1).unsqueeze(-1);
}

/// One-hot points [m, B, L, K] of states [m, L].
Tensor points(const Problem& p, const Tensor& index) {
  return at::one_hot(index, p.K())
      .to(p.logits.scalar_type())
      .unsqueeze(1)
      .expand({-1, p.B(), -1, -1});
}

}  // namespace

Tensor exact_gradient(const Problem& p, double tau_f) {
  if (p.known_gradient) return p.known_gradient(tau_f);
  const at::NoGradGuard values_only;
  const Tensor pi = at::softmax(p.logits / tau_f, -1);
  Tensor sum = at::zeros_like(p.logits), level;
  for_blocks(p, [&](const Tensor& index) {
    const Tensor z = points(p, index);
    const Tensor f = p.f(z);
    // A constant changes nothing; one near f keeps the digits.
    if (!level.defined()) level = f.select(0, 0);
    const Tensor value = (f - level).unsqueeze(-1).unsqueeze(-1);
    sum += (probability(p, index, tau_f) * value * (z - pi)).sum(0) / tau_f;
  });
  return sum;
}

bool is_enumerable(const Estimator& e) {
  for (const Method other : {Method::exact, Method::rloo, Method::disarm}) {
    if (e.method == other) return false;
  }
  if (e.method == Method::indecater && e.samples > 1) return false;
  return traits(e).discrete_only;
}

namespace {

void require_gradient(const Problem& p, const Estimator& e) {
  if (!traits(e).needs_gradient || p.differentiable) return;
  throw InvalidInput(to_string(e) + ": needs the gradient of f, and " + p.name +
                     " has values only; use an estimator that needs none, such as rloo");
}

/// The logits of each row, once for every draw: a leaf [draws, B, L, K].
Tensor repeated_logits(const Problem& p, int64_t draws) {
  return p.logits.detach().expand({draws, p.B(), p.L(), p.K()}).contiguous().requires_grad_();
}

/// The gradient of f at states [m, L], [m, B, L, K].
Tensor gradient_of_f(const Problem& p, const Tensor& index) {
  if (p.known_slopes) return p.known_slopes(index);
  const Tensor z = points(p, index).contiguous().requires_grad_();
  return torch::autograd::grad({p.f(z).sum()}, {z})[0];
}

/// What a pathwise estimator makes of the gradients g of f at drawn states.
Tensor pulled_back(const Problem& p, const Estimator& e, const Tensor& index, const Tensor& g) {
  const Tensor logits = repeated_logits(p, index.size(0));
  const Tensor z = sample(logits, e, {.index = for_rows(p, index)}).onehot;
  return torch::autograd::grad({z}, {logits}, {g})[0];
}

/// Weighted sums of what is off the first estimate: near enough to the others to keep the digits.
struct Sums {
  double tau_f;
  Tensor centre, sum, squares;

  void add(const Tensor& estimate, const Tensor& weight) {
    if (!centre.defined()) {
      centre = estimate.select(0, 0).clone();
      sum = at::zeros_like(centre);
      squares = at::zeros_like(centre);
    }
    const Tensor off = estimate - centre;
    sum += (weight * off).sum(0);
    squares += (weight * off * off).sum(0);
  }
  Moments moments() const { return {centre + sum, (squares - sum * sum).clamp_min(0)}; }
};

}  // namespace

Tensor estimates(const Problem& p, const Estimator& e, int64_t draws,
                 const ExpectationOptions& options) {
  require_gradient(p, e);
  const Tensor logits = repeated_logits(p, draws);
  const Evaluation half(logits, e, options);
  const Tensor z = half.points();  // [E, draws, B, L, K]
  const Tensor values = p.f(z.flatten(0, 1)).view({z.size(0), draws, p.B()});
  return torch::autograd::grad({half.combine(values).sum()}, {logits})[0];
}

std::vector<Moments> enumerated_moments(const Problem& p,
                                        const std::vector<Estimator>& estimators) {
  std::vector<Sums> sums;
  bool gradient_wanted = false;
  for (const Estimator& e : estimators) {
    require_gradient(p, e);
    if (!is_enumerable(e)) {
      throw InvalidInput(to_string(e) +
                         ": is not a function of one sample, so that its mean is no "
                         "sum over states; it can be sampled");
    }
    sums.push_back({traits(e).sampling_tau, {}, {}, {}});
    gradient_wanted |= traits(e).needs_gradient;
  }
  const auto look = [&](const Tensor& index) {
    const Tensor g = gradient_wanted ? gradient_of_f(p, index) : Tensor();
    for (size_t i = 0; i < sums.size(); ++i) {
      const Estimator& e = estimators[i];
      const Tensor estimate =
          traits(e).needs_gradient
              ? pulled_back(p, e, index, g)
              : estimates(p, e, index.size(0), {.given = for_rows(p, index).unsqueeze(0)});
      sums[i].add(estimate, probability(p, index, sums[i].tau_f));
    }
  };
  if (!sums.empty()) for_blocks(p, look);
  std::vector<Moments> all;
  for (const Sums& one : sums) all.push_back(one.moments());
  return all;
}

}  // namespace gradthru::lab
