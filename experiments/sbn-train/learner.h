#pragma once

#include <torch/optim/optimizer.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "experiments/parameters.h"
#include "experiments/sbn-train/network.h"
#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "train/checkpoint.h"

namespace gradthru::experiments {

/// A network that learns by one estimator: SGD with Nesterov momentum, gradients clipped by
/// element. It can be put back to its start with another learning rate.
class Learner {
 public:
  struct Options {
    Estimator estimator;
    double momentum = 0.9;
    double clip = 1e3;
    double baseline_decay = 0.9;  ///< of reinforce(baseline=moving)
    bool one_flip_average = true;
    bool squashed_head = false;
    uint64_t noise_seed = 0;
  };

  /// The network as it is now is the start.
  Learner(nn::StochasticBinarySequential net, const Options& options);

  /// Forgets all updates.
  void restart(double rate);

  /// One update, when the share `progress` of training is done; the loss as it is trained.
  /// Errors: train::Diverged, before anything of the network has changed.
  double update(const at::Tensor& input, const at::Tensor& labels, double progress);

  /// Bytes that one loss and its gradient hold at most above what lies there before and after.
  int64_t peak_bytes(const at::Tensor& input, const at::Tensor& labels) const;

  void store(train::Checkpoint& checkpoint) const;
  void restore(const train::Checkpoint& checkpoint);

  const nn::StochasticBinarySequential& net() const { return net_; }
  const Estimator& estimator() const { return options_.estimator; }
  double rate() const { return rate_; }

 private:
  at::Tensor objective(const at::Tensor& input, const at::Tensor& labels, const Estimator& e,
                       const at::Tensor& baseline, const Key& key) const;
  NamedTensors parameters() const;

  nn::StochasticBinarySequential net_;
  Options options_;
  std::vector<at::Tensor> start_;
  double rate_ = 0;
  Key noise_;
  at::Tensor baseline_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
};

}  // namespace gradthru::experiments
