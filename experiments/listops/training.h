#pragma once

#include <torch/optim/optimizer.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "experiments/experiment.h"
#include "experiments/listops/evaluation.h"
#include "experiments/listops/examples.h"
#include "experiments/listops/model.h"
#include "train/session.h"

namespace gradthru::experiments::listops {

/// The Gumbel Tree-LSTM in training, as the keys of listops() say. It keeps the weights of the best
/// validation, which are tested once, at the end.
class Training : public train::Training {
 public:
  Training(const RunPlan& plan, Examples examples);

  int64_t steps_per_epoch() const override { return steps_per_epoch_; }
  int64_t epochs() const override { return epochs_; }
  int64_t reports_per_epoch() const override { return reports_per_epoch_; }
  train::StepReport step(int64_t step) override;
  train::EpochReport end_epoch(int64_t report) override;
  void store(train::Checkpoint& checkpoint) const override;
  void restore(const train::Checkpoint& checkpoint) override;

 private:
  /// Sums since the last report.
  struct Sums {
    double loss = 0, right = 0, grad_norm = 0, seconds = 0;
    int64_t examples = 0, steps = 0;
  };

  double clip_gradients() const;
  void follow(double accuracy);
  train::MetricLine training_line() const;
  train::MetricLine speed_line() const;
  train::MetricLine test_line();
  std::vector<train::Figure> trees(const std::vector<Verdict>& verdicts, int64_t report) const;

  Estimator estimator_;
  uint64_t seed_;
  int64_t epochs_, steps_per_epoch_, reports_per_epoch_;
  double clip_;
  int64_t patience_;
  Examples examples_;
  Bucketed batches_;
  Model model_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
  Key noise_;
  double rate_;
  int64_t worse_ = 0;  ///< validations since the best one, or since the rate was halved
  double best_accuracy_ = -std::numeric_limits<double>::infinity();
  std::vector<at::Tensor> best_;  ///< weights of the best validation
  Sums sums_;
};

}  // namespace gradthru::experiments::listops
