#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gradthru/nn/binary_layer.h"
#include "gradthru/nn/network_loss.h"

namespace gradthru::nn {

struct NetworkOptions {
  int64_t batch0 = 0;            ///< index of the first example in the whole batch
  bool one_flip_average = true;  ///< of the head: see head_loss(); where units are sampled
  bool squashed_head = false;  ///< ap2 and local_reparam: the head's outputs go through the map of
                               ///< a unit's moments before the loss, as in the code released with
                               ///< arXiv 2006.03143; for comparison only
  std::optional<at::Tensor> baseline{};  ///< 0-dim: the state of reinforce(baseline=moving)
  double decay = 0.9;  ///< of the moving baseline, in [0, 1): after each use it becomes
                       ///< decay * baseline + (1 - decay) * mean loss
  std::optional<std::vector<at::Tensor>> given{};  ///< states of each layer in place of the draw
  std::optional<Key> key{};
  std::optional<at::Generator> generator{};
};

/// How a stochastic network does on a set of examples, from n noise samples of each. Averages over
/// the examples; add() joins parts of a set.
struct GRADTHRU_API NetworkEvaluation {
  int64_t examples = 0;
  double loss = 0;              ///< mean over samples: an estimate of the objective
  double acc1 = 0;              ///< mean accuracy of one sample; NaN without classes
  std::vector<double> acc_ens;  ///< accuracy of the mean prediction of 1, 2 .. n samples
  std::vector<double> entropy;  ///< of the units given the layer below, by layer, in bits

  void add(const NetworkEvaluation& part);
  double mean_entropy() const;  ///< over layers, weighted by their units
  std::vector<int64_t> units;   ///< in each layer
};

/// A network of stochastic binary layers with a linear head and a loss.
///
/// Maths: x^0 the input, real; x^l ~ P(x^l | x^{l-1}) for the L layers; the objective is
///   E l(W_o x^L + b_o, y), the expectation outside the loss. Between a convolution and a linear
///   layer (or the head) the units of an example are put in one row.
/// Source: Shekhovtsov, Yanush, Flach: Path Sample-Analytic Gradient Estimators for Stochastic
///   Binary Networks, NeurIPS 2020, arXiv 2006.03143.
/// Example:
///     StochasticBinarySequential net({StochasticBinaryLinear(784, 200).ptr(),
///                                     StochasticBinaryLinear(200, 200).ptr()}, 10);
///     net->loss(images, labels, psa(), {.key = noise.take(net->offsets_used(psa()))}).backward();
class GRADTHRU_API StochasticBinarySequentialImpl : public torch::nn::Module {
 public:
  using Layers = std::vector<std::shared_ptr<StochasticBinaryLayerImpl>>;

  /// `units`: of the last layer for one example, needed where it is a convolution.
  StochasticBinarySequentialImpl(Layers layers, int64_t outputs,
                                 NetworkLoss loss = NetworkLoss::softmax_nll,
                                 std::optional<int64_t> units = std::nullopt);

  at::Tensor weight, bias;  ///< of the head: [outputs, units], [outputs]

  /// An estimate of the objective at real input x [B, ..], its mean over the batch, whose backward
  /// gives the estimator's gradient.
  ///
  /// Estimators: psa, hard_st, every pathwise one (st, zgr, darn, gst ..), concrete: one sample;
  ///   ap1, tanh, ap2, local_reparam: no sampled units, and the value is their own objective;
  ///   reinforce, rloo, arm: values only; exact: the sum over all states, of linear layers with at
  ///   most kMostUnits units.
  /// Cost: one pass; rloo as many as it has samples; arm one and two from each layer to the head.
  /// Gradient: to the parameters (x gets none from psa-free rules but what autograd gives).
  /// Determinism: layer l draws at key.offset + what the layers below use, in rows from batch0; the
  ///   next sample of rloo and arm's tails start where the whole network has ended.
  /// Errors: InvalidInput for shapes, targets and estimators that do not fit.
  at::Tensor loss(const at::Tensor& x, const at::Tensor& target, const Estimator& estimator,
                  const NetworkOptions& options = {}) const;

  /// Offsets of the random stream that one loss() uses.
  uint64_t offsets_used(const Estimator& estimator) const;

  /// The units of every layer of one sample, drawn as by loss(); no gradient.
  std::vector<LayerSample> sample(const at::Tensor& x, const NetworkOptions& options = {}) const;

  /// Runs the network n times on each example. Sample s draws at key.offset + s L.
  NetworkEvaluation evaluate(const at::Tensor& x, const at::Tensor& target, int64_t n,
                             const NetworkOptions& options = {}) const;

  /// Scales weights and biases of the hidden layers, one after another, so that on this batch every
  /// unit (channel of a convolution) has preactivations of mean 0 and standard deviation 1, where
  /// the units below are what `rule` makes of them; with ap2 the units' own variance counts.
  void normalise(const at::Tensor& x, Propagation rule = Propagation::ap1);

  const Layers& layers() const { return layers_; }
  NetworkLoss loss_kind() const { return loss_; }
  Coding coding() const { return layers_.front()->coding(); }

  static constexpr int64_t kMostUnits = 12;

 private:
  Layers layers_;
  NetworkLoss loss_;
};

/// Holds the module; a list of layers in braces is a constructor's argument here as well.
class StochasticBinarySequential : public torch::nn::ModuleHolder<StochasticBinarySequentialImpl> {
 public:
  using ModuleHolder::ModuleHolder;
  StochasticBinarySequential(StochasticBinarySequentialImpl::Layers layers, int64_t outputs,
                             NetworkLoss loss = NetworkLoss::softmax_nll,
                             std::optional<int64_t> units = std::nullopt)
      : ModuleHolder(std::make_shared<StochasticBinarySequentialImpl>(std::move(layers), outputs,
                                                                      loss, units)) {}
};

}  // namespace gradthru::nn
