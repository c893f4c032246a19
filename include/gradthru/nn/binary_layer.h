#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <optional>

#include "gradthru/bernoulli.h"
#include "gradthru/estimator.h"
#include "gradthru/export.h"
#include "gradthru/key.h"
#include "gradthru/psa.h"

namespace gradthru::nn {

/// What a layer sees: real numbers, as the first one does, or sampled units in its own coding.
enum class LayerInput { real, units };

struct LayerOptions {
  LayerInput input = LayerInput::units;
  bool check = false;  ///< look at sampled input once (synchronises), raise if it is not of the
                       ///< coding's two values
  std::optional<at::Tensor> given{};  ///< states that replace the draw (replay)
  std::optional<Key> key{};
  std::optional<at::Generator> generator{};
};

/// Units of a layer and what made them.
struct LayerSample {
  at::Tensor x;              ///< values: sampled in the coding, or relaxed
  at::Tensor preactivation;  ///< a, so that P(unit is on) = sigmoid(a)
};

/// Mean and variance of every unit of a layer, independent; no variance where it is undefined.
struct LayerMoments {
  at::Tensor mean, variance;
};

/// How moments pass a layer: ap1 (the mean), tanh (tanh(a) instead, for ±1), ap2 (mean and
/// variance), local_reparam (a drawn from the normal law of its mean and variance).
enum class Propagation { ap1, tanh, ap2, local_reparam };

/// A layer of stochastic binary units: unit j is on with probability sigmoid(a_j), a = W x + b, W a
/// matrix or a convolution. Made by StochasticBinaryLinear and StochasticBinaryConv2d.
///
/// Source: estimators and their papers in docs/networks.md.
class GRADTHRU_API StochasticBinaryLayerImpl : public torch::nn::Module {
 public:
  at::Tensor weight, bias;  ///< parameters; bias [out]

  Coding coding() const { return coding_; }
  /// The sizes of one example's units are not the layer's alone: input [B, ..] to units [B, ..].
  virtual at::Tensor preactivation(const at::Tensor& x) const = 0;
  /// The variance of the preactivation of independent inputs with this variance.
  virtual at::Tensor spread(const at::Tensor& variance) const = 0;

  /// Samples the units and lets the gradient through by the estimator's rule: psa, hard_st,
  /// concrete, and every pathwise estimator.
  ///
  /// Gradient: to weight, bias and x. With psa it is flip gradients that pass from layer to layer
  ///   (psa.h): what arrives at x must be the loss that is lost by a flip, as head_loss() hands it
  ///   down with HeadSignal::flip and psa layers do; with real input x has an ordinary gradient.
  /// Determinism: a pure function of (x, weight, bias, estimator, key); element e of all units
  ///   [B, ..] in order has element number row0 + e.
  /// Errors: InvalidInput for shapes that do not fit, estimators that are no rule for one layer.
  LayerSample sample(const at::Tensor& x, const Estimator& estimator,
                     const LayerOptions& options = {}) const;

  /// The units of sample().
  at::Tensor forward(const at::Tensor& x, const Estimator& estimator,
                     const LayerOptions& options = {}) const {
    return sample(x, estimator, options).x;
  }

  /// The moments of the units from those of what they see.
  LayerMoments moments(const LayerMoments& below, Propagation rule,
                       const std::optional<Key>& key = std::nullopt) const;

  /// PyTorch's default initialisation, from the default generator: uniform in +-1/sqrt(fan in).
  void reset_parameters();

 protected:
  StochasticBinaryLayerImpl(Coding coding, at::IntArrayRef weight_sizes);

  /// Psa's flip gradient of the input, as the backward of the layer has to know it.
  virtual std::optional<ConvOptions> convolution() const = 0;

 private:
  Coding coding_;
};

/// Offsets of the random stream that one layer uses for one sample.
GRADTHRU_API uint64_t layer_offsets_used(const Estimator& estimator);

}  // namespace gradthru::nn
