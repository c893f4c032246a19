#pragma once

#include <string>
#include <vector>

#include "gradthru/nn/binary_sequential.h"

// A sampled way through the layers of a network, and the noise of each of its draws.
namespace gradthru::nn {

/// Errors: InvalidInput, with the name of the module in front.
[[noreturn]] void fail(const std::string& what);

bool is_linear(const StochasticBinaryLayerImpl& layer);

/// Units as the layer wants to see them: those of an example in one row for a linear layer.
at::Tensor as_input_of(const StochasticBinaryLayerImpl& layer, const at::Tensor& x);

/// The key that the options give, or one from their generator.
Key key_of(const NetworkOptions& options);

HeadInput head_input(const LayerSample& top);

/// Where the draws of a network are in the random stream.
struct Stream {
  Key key;
  uint64_t each_layer;  ///< offsets
  int64_t batch0;

  /// For layer l of sample s, whose units of one example are `units`.
  Key at(size_t l, size_t layers, uint64_t s, int64_t units) const;
};

/// A pass through the layers.
struct Passage {
  const StochasticBinarySequentialImpl::Layers& layers;
  const Stream& stream;
  const NetworkOptions& options;
  const Estimator& estimator;

  /// How many units an example has in layer l: only known from the input where it is convolution.
  int64_t units_per_example(size_t l, const at::Tensor& below) const;

  LayerSample layer(size_t l, const at::Tensor& below, uint64_t s, bool given) const;

  std::vector<LayerSample> run(const at::Tensor& x, uint64_t s = 0) const;

  /// The units of the last layer from those of layer l, [B, n].
  at::Tensor tail(size_t l, at::Tensor units, uint64_t s) const;
};

}  // namespace gradthru::nn
