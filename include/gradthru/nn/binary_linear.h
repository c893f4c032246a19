#pragma once

#include <torch/nn/pimpl.h>

#include "gradthru/nn/binary_layer.h"

namespace gradthru::nn {

/// A fully connected layer of stochastic binary units: weight [out, in], input [.., in].
/// Example: `StochasticBinaryLinear hidden(784, 200); auto x = hidden->forward(images, psa(),
///   {.input = LayerInput::real});`
class GRADTHRU_API StochasticBinaryLinearImpl : public StochasticBinaryLayerImpl {
 public:
  StochasticBinaryLinearImpl(int64_t in, int64_t out, Coding coding = Coding::plus_minus_one);

  at::Tensor preactivation(const at::Tensor& x) const override;
  at::Tensor spread(const at::Tensor& variance) const override;

 protected:
  std::optional<ConvOptions> convolution() const override { return std::nullopt; }
};
TORCH_MODULE(StochasticBinaryLinear);

}  // namespace gradthru::nn
