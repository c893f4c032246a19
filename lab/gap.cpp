#include "lab/gap.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <stdexcept>
#include <tuple>

#include "gradthru/categorical.h"
#include "gradthru/error.h"

namespace gradthru::lab {
namespace {

using at::Tensor;

/// The gap of each row, [.., 1]: a number, or for 'p' the expected one given the sample.
Tensor gap_of(const Tensor& logits, const Estimator& e, const Tensor& onehot) {
  if (e.gap != kGapP) return at::full({1}, e.gap, logits.options());
  const Tensor pi = at::softmax(logits / e.tau_f.at(0), -1);
  const Tensor p = (pi * onehot).sum(-1, true).clamp_max(1 - 1e-5);
  return at::where(p > 0, -at::log1p(-p) / p, at::ones_like(p));
}

/// The logits after gst has made the sampled category lead by the gap.
Tensor perturbed(const Tensor& logits, const Estimator& e, const Tensor& onehot) {
  const Tensor top = std::get<0>(logits.max(-1, true));
  const Tensor ceiling = top - e.tau_f.at(0) * gap_of(logits.detach(), e, onehot);
  const Tensor a = at::where(onehot > 0, top, at::minimum(logits, ceiling));
  return e.detach ? logits + (a - logits).detach() : a;
}

}  // namespace

bool has_surrogate(const Estimator& e) {
  return e.method == Method::st || e.method == Method::gst || e.method == Method::gumbel_softmax;
}

Tensor surrogate(const Tensor& logits, const Estimator& e, const Tensor& index, const Key& key) {
  const double tau_b = e.tau_b.at(0);
  if (e.method == Method::st || (e.method == Method::gst && !e.consistent)) {
    return at::softmax(logits / tau_b, -1);
  }
  if (e.method == Method::gst) {
    const Tensor onehot = at::one_hot(index, logits.size(-1)).to(logits.scalar_type());
    return at::softmax(perturbed(logits, e, onehot) / tau_b, -1);
  }
  if (e.method != Method::gumbel_softmax) throw std::logic_error("surrogate: the method has none");
  Estimator relaxed = e;
  relaxed.hard = false;
  relaxed.tau_f = e.tau_b;
  return sample(logits, relaxed, {.key = key}).onehot;
}

Tensor gradient_gaps(const Problem& p, const Estimator& e, int64_t draws, const Key& key) {
  return gaps_and_gradients(p, e, draws, key).gap;
}

GapsAndGradients gaps_and_gradients(const Problem& p, const Estimator& e, int64_t draws,
                                    const Key& key) {
  if (!has_surrogate(e)) {
    throw InvalidInput("gradient gap: wanted st, gst or gumbel_softmax, got " + to_string(e));
  }
  if (!p.differentiable) throw InvalidInput(p.name + ": has no gradient, and so no gradient gap");
  const Tensor logits =
      p.logits.detach().expand({draws, p.B(), p.L(), p.K()}).contiguous().requires_grad_();
  const Tensor index = sample(logits.detach(), e, {.key = key}).index;
  const Tensor s = surrogate(logits, e, index, key);
  const Tensor hard = at::one_hot(index, p.K()).to(logits.scalar_type()).requires_grad_();
  const Tensor soft = s.detach().requires_grad_();
  const Tensor at_hard = torch::autograd::grad({p.f(hard).sum()}, {hard})[0];
  const Tensor at_soft = torch::autograd::grad({p.f(soft).sum()}, {soft})[0];
  const auto length = [&](const Tensor& g) {
    const auto through = torch::autograd::grad({s}, {logits}, {g}, /*retain_graph=*/true);
    return through[0].flatten(1).norm(2, 1);
  };
  return {length(at_hard - at_soft), length(at_hard)};
}

}  // namespace gradthru::lab
