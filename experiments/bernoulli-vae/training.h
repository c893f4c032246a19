#pragma once

#include <torch/optim/optimizer.h>

#include <cstdint>
#include <memory>

#include "experiments/averages.h"
#include "experiments/batches.h"
#include "experiments/bernoulli-vae/data.h"
#include "experiments/bernoulli-vae/model.h"
#include "experiments/experiment.h"
#include "train/session.h"

namespace gradthru::experiments::bernoulli {

/// A binary VAE in training, as the keys of bernoulli_vae() say. What the session calls an epoch is
/// `eval_every` updates.
class Training : public train::Training {
 public:
  Training(const RunPlan& plan, const GreyImages& images);

  int64_t steps_per_epoch() const override { return eval_every_; }
  int64_t epochs() const override { return updates_ / eval_every_; }
  train::StepReport step(int64_t step) override;
  train::EpochReport end_epoch(int64_t epoch) override;
  void store(train::Checkpoint& checkpoint) const override;
  void restore(const train::Checkpoint& checkpoint) override;

 private:
  /// Evaluations of the decoder by one estimate.
  int64_t passes_of_one() const;
  const at::Tensor& images_of_pass(int64_t pass);
  train::MetricLine training_line(int64_t updates);
  train::MetricLine evaluate(const at::Tensor& images, train::Split split, Key key) const;
  std::vector<train::Figure> pictures() const;
  double bound(const at::Tensor& images, Key key) const;
  double encoder_gradient_variance(int64_t updates) const;

  Estimator estimator_;
  uint64_t seed_;
  int64_t updates_, eval_every_;
  double rate_;
  Model model_;
  int64_t samples_;  ///< independent estimates of each update
  int64_t passes_;   ///< of the decoder, by each update
  bool redraws_;     ///< binary images for every pass over them
  std::string when_bound_;
  int64_t bound_samples_, bound_images_;
  int64_t variance_every_, variance_draws_, variance_images_;

  at::Tensor grey_, valid_, test_;  ///< valid and test are drawn once
  Batches batches_;
  int64_t drawn_pass_ = -1;
  at::Tensor drawn_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
  Key noise_;
  at::Tensor baseline_;  ///< the state of a moving baseline
  Averages averages_;    ///< over the examples since the last line
};

}  // namespace gradthru::experiments::bernoulli
