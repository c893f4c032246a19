#pragma once

#include <ATen/core/Tensor.h>

#include "gradthru/nn/binary_layer.h"

namespace gradthru::nn {

/// A uniform number in (0, 1) for each element, from the cells of a draw of `like`.
at::Tensor uniforms(const at::Tensor& like, const Key& key);

/// A standard normal number for each element, from the same cells.
at::Tensor normals(const at::Tensor& like, const Key& key);

/// Mean and variance of units from the mean `a` and variance of their preactivations; `variance`
/// may be undefined, `key` is that of local_reparam.
LayerMoments unit_moments(at::Tensor a, const at::Tensor& variance, Propagation rule,
                          const std::optional<Key>& key, Coding coding);

}  // namespace gradthru::nn
