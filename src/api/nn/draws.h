#pragma once

#include <ATen/core/Tensor.h>

#include "gradthru/key.h"

namespace gradthru::nn {

/// A uniform number in (0, 1) for each element, from the cells of a draw of `like`.
at::Tensor uniforms(const at::Tensor& like, const Key& key);

/// A standard normal number for each element, from the same cells.
at::Tensor normals(const at::Tensor& like, const Key& key);

}  // namespace gradthru::nn
