#include "api/nn/draws.h"

#include <ATen/ATen.h>

#include <numbers>

#include "gradthru/bernoulli.h"
#include "gradthru/error.h"

namespace gradthru::nn {

using at::Tensor;

Tensor uniforms(const Tensor& like, const Key& key) {
  const Tensor origin = at::zeros(like.sizes(), like.options().requires_grad(false));
  return sample_binary(origin, gumbel_softmax({.tau = 1.0, .hard = false}),
                       {.coding = Coding::zero_one, .key = key});
}

Tensor normals(const Tensor& like, const Key& key) {
  constexpr double kLeast = 0x1p-53;  // a double next to 1 would be at infinity
  const Tensor u = uniforms(like.to(at::kDouble), key).clamp(kLeast, 1 - kLeast);
  return at::special_ndtri(u).to(like.scalar_type());
}

LayerMoments unit_moments(Tensor a, const Tensor& variance, Propagation rule,
                          const std::optional<Key>& key, Coding coding) {
  const bool pm1 = coding == Coding::plus_minus_one;
  if (rule == Propagation::ap1) return {pm1 ? at::tanh(a / 2) : at::sigmoid(a), {}};
  if (rule == Propagation::tanh) return {pm1 ? at::tanh(a) : at::sigmoid(2 * a), {}};
  if (rule == Propagation::local_reparam && !key) {
    throw InvalidInput("moments: local_reparam wants a key");
  }
  if (variance.defined()) {
    constexpr double kLogistic = 3 / (std::numbers::pi * std::numbers::pi);
    a = rule == Propagation::ap2 ? a / at::sqrt(1 + kLogistic * variance)
                                 : a + at::sqrt(variance) * normals(a, *key);
  }
  const Tensor p = at::sigmoid(a), spread = p * (1 - p);
  if (!pm1) return {p, spread};
  return {2 * p - 1, 4 * spread};
}

}  // namespace gradthru::nn
