#include "lab/exact.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

namespace gradthru::lab {
namespace {

using at::Tensor;

/// Elements of the points that f gets at once.
constexpr int64_t kBlockElements = int64_t{1} << 21;

int64_t number_of_states(const Problem& p) {
  const double states = std::pow(static_cast<double>(p.K()), static_cast<double>(p.L()));
  if (states <= static_cast<double>(kMostStates)) return static_cast<int64_t>(states);
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", states);
  throw InvalidInput(p.name + ": " + std::to_string(p.L()) + " variables of " +
                     std::to_string(p.K()) + " categories have " + text + " states; at most " +
                     std::to_string(kMostStates) + " are enumerated");
}

/// States `first` to `last` of all, the first variable slowest: [last - first, L].
Tensor states(const Problem& p, int64_t first, int64_t last) {
  Tensor rest = at::arange(first, last, at::kLong);
  Tensor index = at::empty({last - first, p.L()}, at::kLong);
  for (int64_t i = p.L(); i-- > 0;) {
    index.select(1, i).copy_(rest.remainder(p.K()));
    rest = at::floor_divide(rest, p.K());
  }
  return index;
}

/// Calls `look` with the states of one block after the other, [m, L], and their probabilities under
/// each row's law, [m, B].
void for_blocks(const Problem& p, double tau_f,
                const std::function<void(const Tensor& index, const Tensor& probability)>& look) {
  const int64_t count = number_of_states(p);
  const int64_t block = std::max<int64_t>(1, kBlockElements / p.logits.numel());
  const Tensor log_pi = at::log_softmax(p.logits.detach() / tau_f, -1);  // [B, L, K]
  for (int64_t first = 0; first < count; first += block) {
    const Tensor index = states(p, first, std::min(count, first + block));
    const Tensor picked = log_pi.unsqueeze(0)
                              .expand({index.size(0), p.B(), p.L(), p.K()})
                              .gather(-1, index.unsqueeze(1).expand({-1, p.B(), -1}).unsqueeze(-1));
    look(index, picked.squeeze(-1).sum(-1).exp());
  }
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
  for_blocks(p, tau_f, [&](const Tensor& index, const Tensor& probability) {
    const Tensor z = points(p, index);
    const Tensor f = p.f(z);
    // A constant changes nothing; one near f keeps the digits.
    if (!level.defined()) level = f.select(0, 0);
    const Tensor weight = (probability * (f - level)).unsqueeze(-1).unsqueeze(-1);
    sum += (weight * (z - pi)).sum(0) / tau_f;
  });
  return sum;
}

bool is_enumerable(const Estimator& e) {
  if (e.method == Method::rloo || e.method == Method::disarm) return false;
  if (e.method == Method::indecater && e.samples > 1) return false;
  return traits(e).discrete_only;
}

Tensor estimates(const Problem& p, const Estimator& e, int64_t draws,
                 const ExpectationOptions& options) {
  if (traits(e).needs_gradient && !p.differentiable) {
    throw InvalidInput(to_string(e) + ": needs the gradient of f, and " + p.name +
                       " has values only; use an estimator that needs none, such as rloo");
  }
  const Tensor logits =
      p.logits.detach().expand({draws, p.B(), p.L(), p.K()}).contiguous().requires_grad_();
  const Evaluation half(logits, e, options);
  const Tensor z = half.points();  // [E, draws, B, L, K]
  const Tensor values = p.f(z.flatten(0, 1)).view({z.size(0), draws, p.B()});
  return torch::autograd::grad({half.combine(values).sum()}, {logits})[0];
}

Moments enumerated_moments(const Problem& p, const Estimator& e) {
  if (!is_enumerable(e)) {
    throw InvalidInput(to_string(e) +
                       ": is not a function of one sample, so that its mean is no "
                       "sum over states; it can be sampled");
  }
  const double tau_f = traits(e).sampling_tau;
  if (e.method == Method::exact) {
    const Tensor exact = exact_gradient(p, tau_f);
    return {exact, at::zeros_like(exact)};
  }
  const Tensor centre = exact_gradient(p, tau_f);
  Tensor sum = at::zeros_like(centre), squares = at::zeros_like(centre);
  for_blocks(p, tau_f, [&](const Tensor& index, const Tensor& probability) {
    const Tensor given = index.unsqueeze(1).expand({-1, p.B(), -1}).unsqueeze(0);
    const Tensor off = estimates(p, e, index.size(0), {.given = given}) - centre;
    const Tensor weight = probability.unsqueeze(-1).unsqueeze(-1);
    sum += (weight * off).sum(0);
    squares += (weight * off * off).sum(0);
  });
  return {centre + sum, (squares - sum * sum).clamp_min(0)};
}

}  // namespace gradthru::lab
