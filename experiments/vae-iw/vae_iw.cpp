#include "experiments/vae-iw/vae_iw.h"

#include <ATen/TensorOperators.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/binarized_mnist.h"
#include "experiments/importance_bound.h"
#include "experiments/vae/importance.h"
#include "experiments/vae/setup.h"
#include "experiments/vae/training.h"
#include "experiments/vae/vae.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using train::Config;
using train::MetricLine;
using train::Split;

constexpr const char* kSet = "binarized-mnist";

std::vector<train::ConfigKey> keys() {
  std::vector<train::ConfigKey> all = vae_keys();
  for (auto& key : all) {
    if (key.name == "latent") key.fallback = std::string("4x60");
    if (key.name != "data.name") continue;
    key.fallback = std::string(kSet);
    key.bounds.choices = {kSet};
  }
  all.push_back({"optimiser.momentum", 0.9, "of sgd", {.min = 0, .below = 1}});
  all.push_back({"data.valid_limit",
                 int64_t{0},
                 "use only the first n images to validate; 0: all",
                 {.min = 0}});
  all.push_back({"eval.bound",
                 std::string("last"),
                 "when to take the importance-weighted bounds: never, last or every epoch",
                 {.choices = {"never", "last", "every"}}});
  all.push_back({"eval.bound_samples", int64_t{5000}, "of each image", {.min = 1}});
  all.push_back({"eval.bound_images",
                 int64_t{0},
                 "the first n images of validation and of the test; 0: all",
                 {.min = 0}});
  return all;
}

struct Images {
  data::ImageSet shown;  ///< what the training of `vae` sees
  at::Tensor valid;
};

Images load(const Config& config) {
  data::LoadOptions options;
  if (const auto& dir = config.text("data.dir"); !dir.empty()) options.dir = dir;
  options.verify = config.boolean("data.verify");
  auto set = data::load_binarized_mnist(options);
  Images images;
  images.shown.train_images = set.train.to(at::kFloat);
  images.shown.test_images = set.test.to(at::kFloat);
  images.shown.height = images.shown.width = 28;
  images.shown.sha256 = std::move(set.sha256);
  images.valid = first_of(set.valid, config.integer("data.valid_limit")).to(at::kFloat);
  return images;
}

/// The training of a VAE, and the bounds of its images by many samples.
class BoundedTraining : public train::Training {
 public:
  BoundedTraining(const RunPlan& plan, const Images& images)
      : vae_(plan, images.shown),
        valid_(images.valid),
        test_(first_of(images.shown.test_images, plan.config.integer("data.test_limit"))),
        when_(plan.config.text("eval.bound")),
        samples_(plan.config.integer("eval.bound_samples")),
        images_(plan.config.integer("eval.bound_images")),
        seed_(plan.seed) {}

  int64_t steps_per_epoch() const override { return vae_.steps_per_epoch(); }
  int64_t epochs() const override { return vae_.epochs(); }
  train::StepReport step(int64_t step) override { return vae_.step(step); }

  train::EpochReport end_epoch(int64_t epoch) override {
    train::EpochReport report = vae_.end_epoch(epoch);
    MetricLine valid = vae_.evaluate(valid_, Split::valid);
    report.selection = std::get<double>(valid.values[0].value);
    if (when_ == "every" || (when_ == "last" && epoch == epochs())) {
      valid.values.push_back({"bound", bound(valid_)});
      report.lines.back().values.push_back({"bound", bound(test_)});
    }
    report.lines.insert(report.lines.end() - 1, std::move(valid));
    return report;
  }

  void store(train::Checkpoint& checkpoint) const override { vae_.store(checkpoint); }
  void restore(const train::Checkpoint& checkpoint) override { vae_.restore(checkpoint); }

 private:
  double bound(const at::Tensor& all) const {
    const at::Tensor images = first_of(all, images_);
    Key key = train::stream_key(seed_, "eval");
    key.take(1);  // of the evaluation by one sample
    return importance_bound(images.size(0), {.samples = samples_, .key = key},
                            [&](int64_t first, int64_t n) {
                              return log_weights(vae_.model(), images.narrow(0, first, n), first);
                            });
  }

  VaeTraining vae_;
  at::Tensor valid_, test_;
  std::string when_;
  int64_t samples_, images_;
  uint64_t seed_;
};

Estimator resolve(Config& config, const Estimator& estimator) {
  if (!config.has_been_set("optimiser.name")) config.set("optimiser.name=sgd");
  if (!config.has_been_set("optimiser.lr")) config.set("optimiser.lr=1e-3");
  return vae().resolve(config, estimator);
}

StartedRun start(const RunPlan& plan) {
  const Images images = load(plan.config);
  return {std::make_unique<BoundedTraining>(plan, images),
          {images.shown.sha256.begin(), images.shown.sha256.end()}};
}

}  // namespace

Experiment vae_iw() {
  return {.name = "vae-iw",
          .summary = "categorical VAE on binary images, importance-weighted test bound",
          .keys = keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_nelbo", "valid_nelbo", "test_nelbo", "test_kl", "valid_bound",
                      "test_bound"}};
}

}  // namespace gradthru::experiments
