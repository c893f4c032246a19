#include "experiments/vae-gst/vae_gst.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "experiments/gradient_variance.h"
#include "experiments/vae/setup.h"
#include "experiments/vae/training.h"
#include "experiments/vae/vae.h"
#include "gradthru/categorical.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

std::vector<train::ConfigKey> keys() {
  std::vector<train::ConfigKey> all = vae_keys();
  for (auto& key : all) {
    if (key.name == "latent") key.fallback = std::string("10x30");
    if (key.name == "model.relu_logits") key.fallback = true;
  }
  all.push_back({"variance.draws",
                 int64_t{0},
                 "gradients that are compared after an epoch; 0: none",
                 {.min = 0}});
  all.push_back({"variance.images", int64_t{1000}, "test images of each gradient", {.min = 1}});
  all.push_back(
      {"variance.redraw", false, "other test images after every epoch, not the first ones", {}});
  all.push_back({"variance.chunk", int64_t{500}, "images at once: bounds the memory", {.min = 1}});
  return all;
}

/// The training of a VAE, and how much its encoder's gradient scatters after every epoch.
class MeasuredTraining : public train::Training {
 public:
  MeasuredTraining(const RunPlan& plan, const data::ImageSet& images)
      : vae_(plan, images),
        estimator_(plan.estimator),
        test_(first_of(images.test_images, plan.config.integer("data.test_limit"))),
        draws_(plan.config.integer("variance.draws")),
        images_(plan.config.integer("variance.images")),
        redraw_(plan.config.boolean("variance.redraw")),
        chunk_(plan.config.integer("variance.chunk")),
        seed_(plan.seed) {
    if (draws_ == 0 || images_ <= test_.size(0)) return;
    throw InvalidInput("variance.images: wanted at most the " + std::to_string(test_.size(0)) +
                       " test images, got " + std::to_string(images_));
  }

  int64_t steps_per_epoch() const override { return vae_.steps_per_epoch(); }
  int64_t epochs() const override { return vae_.epochs(); }
  train::StepReport step(int64_t step) override { return vae_.step(step); }

  train::EpochReport end_epoch(int64_t epoch) override {
    train::EpochReport report = vae_.end_epoch(epoch);
    if (draws_ > 0) {
      report.lines.back().values.push_back({"encoder_grad_variance", variance(epoch)});
    }
    return report;
  }

  void store(train::Checkpoint& checkpoint) const override { vae_.store(checkpoint); }
  void restore(const train::Checkpoint& checkpoint) override { vae_.restore(checkpoint); }

 private:
  at::Tensor batch(int64_t epoch) const {
    if (!redraw_) return test_.narrow(0, 0, images_);
    const uint64_t seed = train::stream_seed(seed_, "probe");
    const at::Tensor order = train::epoch_order(seed, epoch, test_.size(0));
    return test_.index_select(0, order.narrow(0, 0, images_));
  }

  double variance(int64_t epoch) const {
    const at::Tensor x = batch(epoch);
    const Estimator e = estimator_.at(static_cast<double>(epoch) / static_cast<double>(epochs()));
    Key key = train::stream_key(seed_, "probe");
    const auto& parameters = vae_.model().named_parameters();
    std::vector<at::Tensor> encoder = tensors_of(parameters);
    encoder.resize(parameters.size() / 2);
    return gradient_variance(encoder, draws_, [&](int64_t) {
      Key of_draw = key.take(offsets_used(e));
      for (int64_t start = 0; start < images_; start += chunk_) {
        const int64_t n = std::min(chunk_, images_ - start);
        of_draw.row0 = start * vae_.model().shape().L;
        const double share = static_cast<double>(n) / static_cast<double>(images_);
        (vae_.model().loss(x.narrow(0, start, n), e, of_draw).nelbo() * share).backward();
      }
    });
  }

  VaeTraining vae_;
  Estimator estimator_;
  at::Tensor test_;
  int64_t draws_, images_;
  bool redraw_;
  int64_t chunk_;
  uint64_t seed_;
};

Estimator resolve(train::Config& config, const Estimator& estimator) {
  // The learning rate of the study, not the tuned one of `vae`.
  if (!config.has_been_set("optimiser.name")) config.set("optimiser.name=adam");
  if (!config.has_been_set("optimiser.lr")) config.set("optimiser.lr=1e-3");
  if (config.integer("variance.draws") == 1) {
    throw InvalidInput("variance.draws: wanted 0 or at least 2, got 1");
  }
  return vae().resolve(config, estimator);
}

}  // namespace

Experiment vae_gst() {
  return {.name = "vae-gst",
          .summary = "the gapped straight-through estimator: its properties, and its variance",
          .keys = keys(),
          .resolve = resolve,
          .start = start_on_images<MeasuredTraining>,
          .columns = {"train_nelbo", "test_nelbo", "test_recon", "test_kl",
                      "test_encoder_grad_variance"}};
}

}  // namespace gradthru::experiments
