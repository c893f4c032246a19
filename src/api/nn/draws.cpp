#include "api/nn/draws.h"

#include <ATen/ATen.h>

#include "gradthru/bernoulli.h"

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

}  // namespace gradthru::nn
