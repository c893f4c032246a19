#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace gradthru::experiments {

/// How much a gradient scatters where only the draw changes: the mean over all entries of the
/// parameters of the variance over draws, E[g^2] - E[g]^2, estimated without bias.
///
/// `backward(draw)` computes the loss with fresh noise and calls its backward; it may do so in
/// pieces, whose gradients add up. The parameters' gradients are cleared before and after.
/// Errors: std::logic_error for fewer than 2 draws.
double gradient_variance(const std::vector<at::Tensor>& parameters, int64_t draws,
                         const std::function<void(int64_t draw)>& backward);

}  // namespace gradthru::experiments
