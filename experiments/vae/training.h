#pragma once

#include <torch/optim/optimizer.h>

#include <cstdint>
#include <memory>
#include <string>

#include "data/image_set.h"
#include "experiments/averages.h"
#include "experiments/batches.h"
#include "experiments/experiment.h"
#include "experiments/vae/model.h"
#include "train/session.h"

namespace gradthru::experiments {

/// A categorical VAE in training, as the keys of vae_keys() say.
class VaeTraining : public train::Training {
 public:
  VaeTraining(const RunPlan& plan, const data::ImageSet& images);

  int64_t steps_per_epoch() const override { return batches_.per_pass(); }
  int64_t epochs() const override { return epochs_; }
  train::StepReport step(int64_t step) override;
  train::EpochReport end_epoch(int64_t epoch) override;
  void store(train::Checkpoint& checkpoint) const override;
  void restore(const train::Checkpoint& checkpoint) override;

  const VaeModel& model() const { return model_; }

  /// Averages over images with one sample each, from the stream `eval`.
  train::MetricLine evaluate(const at::Tensor& images, train::Split split) const;

 private:
  bool wants_exact_bound(int64_t epoch) const;
  std::vector<train::Figure> pictures() const;

  Estimator estimator_;
  uint64_t seed_;
  int64_t epochs_;
  std::string exact_;
  double learning_rate_;
  at::Tensor train_, test_;
  VaeModel model_;
  Key noise_;
  Batches batches_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
  Averages averages_;
};

}  // namespace gradthru::experiments
