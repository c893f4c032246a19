#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "experiments/importance_bound.h"
#include "experiments/vae/model.h"

namespace gradthru::experiments {

/// log p(x, z) - log q(z | x) of samples z of the model's q at temperature 1, under the uniform
/// prior, for images [n, pixels] whose first has number `first`.
LogWeights log_weights(const VaeModel& model, const at::Tensor& images, int64_t first);

}  // namespace gradthru::experiments
