#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "experiments/averages.h"
#include "experiments/batches.h"
#include "experiments/experiment.h"
#include "experiments/sbn-train/images.h"
#include "experiments/sbn-train/learner.h"
#include "experiments/sbn-train/network.h"
#include "experiments/sbn-train/rate_search.h"
#include "train/session.h"

namespace gradthru::experiments {

/// A stochastic binary network in training, as the keys of sbn_train() say.
class SbnTraining : public train::Training {
 public:
  SbnTraining(const RunPlan& plan, SbnData data);

  int64_t steps_per_epoch() const override { return steps_per_epoch_; }
  int64_t epochs() const override { return epochs_; }
  train::Preparation prepare() override;
  train::StepReport step(int64_t step) override;
  train::EpochReport end_epoch(int64_t epoch) override;
  void store(train::Checkpoint& checkpoint) const override;
  void restore(const train::Checkpoint& checkpoint) override;

 private:
  /// A learning rate that is being tried.
  struct RunningTrial {
    double log10_rate;
    int64_t step = 0;
    Mean loss{};  // of the last epoch
  };

  /// The images of an update as the network sees them, and their classes.
  LabelledImages batch(int64_t step);
  double update(int64_t step, int64_t* examples);
  /// True if the trial is over, with its score.
  std::optional<double> advance_trial();
  train::MetricLine evaluate(const LabelledImages& images, train::Split split) const;
  std::vector<double> accuracy_of_n() const;
  train::MetricLine costs() const;
  train::Figure filters() const;

  uint64_t seed_;
  int64_t epochs_, steps_per_epoch_;
  int64_t samples_, curve_;
  bool one_flip_average_;
  SbnShape shape_;
  SbnData data_;
  uint64_t augment_seed_;
  Batches batches_;
  Learner learner_;

  RateSearch search_;
  int64_t trial_epochs_;
  std::vector<Trial> trials_;
  size_t told_ = 0;  // trials whose lines were handed out
  std::optional<RunningTrial> trial_;

  Mean loss_;                          // of the epoch
  Mean wall_ms_, cpu_ms_;              // of a step of the epoch
  std::optional<int64_t> peak_bytes_;  // of a step
};

}  // namespace gradthru::experiments
