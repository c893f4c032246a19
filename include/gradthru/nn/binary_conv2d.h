#pragma once

#include <torch/nn/pimpl.h>

#include <array>

#include "gradthru/nn/binary_layer.h"

namespace gradthru::nn {

/// A convolutional layer of stochastic binary units with zero padding: weight [out, in / groups,
/// rows, columns], input [B, in, rows, columns]. A padded 0 is the state "off" in {0,1} and no
/// state in ±1.
/// Example: `StochasticBinaryConv2d conv(96, 96, {3, 3}, {.stride = {2, 2}});`
class GRADTHRU_API StochasticBinaryConv2dImpl : public StochasticBinaryLayerImpl {
 public:
  StochasticBinaryConv2dImpl(int64_t in, int64_t out, std::array<int64_t, 2> kernel,
                             const ConvOptions& options = {},
                             Coding coding = Coding::plus_minus_one);

  at::Tensor preactivation(const at::Tensor& x) const override;
  at::Tensor spread(const at::Tensor& variance) const override;

 protected:
  std::optional<ConvOptions> convolution() const override { return options_; }

 private:
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b) const;

  ConvOptions options_;
};
TORCH_MODULE(StochasticBinaryConv2d);

}  // namespace gradthru::nn
