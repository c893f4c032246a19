#pragma once

#include "gradthru/nn/binary_sequential.h"

namespace gradthru::nn {

/// The loss of a network at one input, mean over the batch, whose backward is the gradient of the
/// estimator: sampled, by moments, by values of the loss, or summed over all states.
at::Tensor objective(const StochasticBinarySequentialImpl& net, const at::Tensor& x,
                     const at::Tensor& target, const Estimator& estimator,
                     const NetworkOptions& options);

}  // namespace gradthru::nn
