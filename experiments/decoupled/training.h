#pragma once

#include <torch/optim/optimizer.h>

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "experiments/averages.h"
#include "experiments/batches.h"
#include "experiments/decoupled/split.h"
#include "experiments/decoupled/task.h"
#include "experiments/experiment.h"
#include "train/session.h"

namespace gradthru::experiments::decoupled {

/// The ways a model is evaluated, as `select` names them: sampled at the run's forward temperature,
/// sampled at 1, with the likeliest values.
inline const std::array<std::string, 3> kModes = {"tau_f", "one", "argmax"};

/// A task in training, as the keys of decoupled() say.
class Training : public train::Training {
 public:
  Training(const RunPlan& plan, SplitImages images);

  int64_t steps_per_epoch() const override { return steps_per_epoch_; }
  int64_t epochs() const override { return epochs_; }
  std::vector<train::MetricLine> begin() override { return gap_lines(0); }
  train::StepReport step(int64_t step) override;
  train::EpochReport end_epoch(int64_t epoch) override;
  void store(train::Checkpoint& checkpoint) const override;
  void restore(const train::Checkpoint& checkpoint) override;

 private:
  /// One of the two halves of the parameters, with its own learning rate.
  struct Half {
    NamedTensors parameters;
    std::unique_ptr<torch::optim::Optimizer> optimiser;
  };

  NamedTensors parameters() const;
  std::array<double, 3> taus() const;
  at::Tensor means(const LabelledImages& images, double tau) const;
  train::MetricLine evaluate(const LabelledImages& images, train::Split split) const;
  std::vector<train::MetricLine> gap_lines(int64_t epoch) const;

  Estimator estimator_;
  uint64_t seed_;
  int64_t epochs_, steps_per_epoch_, samples_;
  std::string select_;
  double rate_;
  bool gap_;
  std::set<int64_t> gap_epochs_;
  int64_t gap_images_, gap_draws_;
  SplitImages images_;
  Batches batches_;
  bool binary_;
  std::unique_ptr<Task> task_;
  Half encoder_, decoder_;
  Key noise_;
  Mean loss_;  // of the epoch
};

}  // namespace gradthru::experiments::decoupled
