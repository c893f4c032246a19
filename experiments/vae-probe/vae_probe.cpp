#include "experiments/vae-probe/vae_probe.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>
#include <string>
#include <utility>

#include "experiments/methods.h"
#include "experiments/vae/exact_bound.h"
#include "experiments/vae/probe.h"
#include "experiments/vae/setup.h"
#include "experiments/vae/training.h"
#include "experiments/vae/vae.h"
#include "lab/exact.h"
#include "lab/fidelity.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using train::Config;
using train::MetricLine;

std::vector<train::ConfigKey> keys() {
  std::vector<train::ConfigKey> all = vae_keys();
  all.push_back({"probe.methods",
                 std::vector<std::string>{"st", "reinmax"},
                 "estimators that are measured",
                 {}});
  all.push_back(
      {"probe.images", int64_t{20}, "the first n training images, in file order", {.min = 1}});
  all.push_back({"probe.samples",
                 int64_t{1024},
                 "draws of an estimator that is not enumerated",
                 {.min = 64}});
  return all;
}

std::vector<Estimator> probed(const Config& config) {
  return parse_constant_estimators("probe.methods", config.texts("probe.methods"));
}

double length_of(const at::Tensor& t) {
  return t.norm().item<double>();
}

/// The training of a VAE with the measurements between its epochs. These draw from a stream of
/// their own: training goes on as if nobody had looked.
class ProbedTraining : public train::Training {
 public:
  ProbedTraining(const RunPlan& plan, const data::ImageSet& images)
      : vae_(plan, images),
        estimators_(probed(plan.config)),
        images_(first_of(images.train_images, plan.config.integer("probe.images"))) {
    options_.draws = plan.config.integer("probe.samples");
    options_.key = train::stream_key(plan.seed, "probe");
  }

  int64_t steps_per_epoch() const override { return vae_.steps_per_epoch(); }
  int64_t epochs() const override { return vae_.epochs(); }
  std::vector<MetricLine> begin() override { return measurements(); }
  train::StepReport step(int64_t step) override { return vae_.step(step); }
  train::EpochReport end_epoch(int64_t epoch) override {
    train::EpochReport report = vae_.end_epoch(epoch);
    for (auto& line : measurements()) report.lines.push_back(std::move(line));
    return report;
  }
  void store(train::Checkpoint& checkpoint) const override { vae_.store(checkpoint); }
  void restore(const train::Checkpoint& checkpoint) override { vae_.restore(checkpoint); }

 private:
  std::vector<MetricLine> measurements() const {
    std::vector<MetricLine> lines;
    const lab::Problem problem = vae_problem(vae_.model(), images_);
    const at::Tensor at_one = lab::exact_gradient(problem, 1);
    for (const auto& f : lab::measure(problem, estimators_, options_)) {
      MetricLine line;
      line.kind = train::Kind::probe;
      line.split = train::Split::train;
      line.n = images_.size(0);
      const double exact = length_of(f.exact_gradient), mean = length_of(f.mean);
      const double bias = f.relative_bias.value * exact;
      line.values = {
          {"rel_bias", f.relative_bias.value},
          {"rel_bias_of_mean", bias / mean},
          {"rel_std", f.relative_std},
          {"cos", f.cosine.value},
          {"rel_standard_error", f.standard_error / exact},
          {"bias", bias},
          {"std", std::sqrt(f.variance)},
          {"rel_bias_one", length_of(f.mean - at_one) / length_of(at_one)},
          {"cos_one", (f.mean * at_one).sum().item<double>() / mean / length_of(at_one)}};
      line.note = to_string(f.estimator);
      lines.push_back(std::move(line));
    }
    return lines;
  }

  VaeTraining vae_;
  std::vector<Estimator> estimators_;
  at::Tensor images_;
  lab::FidelityOptions options_;
};

Estimator resolve(Config& config, const Estimator& estimator) {
  const Estimator method = vae().resolve(config, estimator);
  if (probed(config).empty()) throw InvalidInput("probe.methods: wanted at least one, got none");
  if (shape_of(config, 1).codes(kEnumerationLimit) < 0) {
    throw InvalidInput("latent: the exact gradient of " + config.text("latent") +
                       " needs more than " + std::to_string(kEnumerationLimit) + " codes");
  }
  return method;
}

}  // namespace

Experiment vae_probe_experiment() {
  return {.name = "vae-probe",
          .summary = "gradient quality in the categorical VAE, by enumeration of its codes",
          .keys = keys(),
          .resolve = resolve,
          .start = start_on_images<ProbedTraining>,
          .columns = vae().columns};
}

}  // namespace gradthru::experiments
