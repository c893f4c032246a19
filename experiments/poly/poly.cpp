#include "experiments/poly/poly.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <string>
#include <tuple>

#include "experiments/averages.h"
#include "experiments/latent.h"
#include "gradthru/expectation.h"
#include "lab/functions.h"
#include "train/optimiser.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using at::Tensor;
using train::Checkpoint;
using train::Config;

constexpr double kInitialRange = 0.01;  // of the logits, uniform in +- this

std::vector<train::ConfigKey> poly_keys() {
  return {
      {"latent", std::string("2x128"), "categories x variables", {}},
      {"p", 2.0, "power", {.min = 1}},
      {"c", 0.45, "target", {}},
      {"batch_size", int64_t{64}, "independent copies of all variables per update", {.min = 1}},
      {"epochs", int64_t{10}, "epochs", {.min = 1}},
      {"steps_per_epoch", int64_t{200}, "updates between two lines of metrics", {.min = 1}},
      {"optimiser.name",
       std::string("adam"),
       "adam, radam or sgd",
       {.choices = train::optimiser_names()}},
      {"optimiser.lr", 1e-3, "learning rate", {.above = 0}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints inside an epoch", {.min = 0}},
  };
}

class PolyTraining : public train::Training {
 public:
  explicit PolyTraining(const RunPlan& plan)
      : estimator_(plan.estimator),
        batch_(plan.config.integer("batch_size")),
        epochs_(plan.config.integer("epochs")),
        steps_per_epoch_(plan.config.integer("steps_per_epoch")),
        learning_rate_(plan.config.number("optimiser.lr")),
        noise_(train::stream_key(plan.seed, "noise")) {
    const auto [K, L] = parse_latent(plan.config.text("latent"));
    const double p = plan.config.number("p"), c = plan.config.number("c");
    const Tensor v = lab::polynomial_values(K);
    f_ = lab::polynomial(p, c, v.to(at::kFloat));
    values_ = (v - c).abs().pow(p);
    auto generator =
        at::make_generator<at::CPUGeneratorImpl>(train::stream_seed(plan.seed, "init"));
    logits_ = at::empty({L, K}).uniform_(-kInitialRange, kInitialRange, generator);
    logits_.requires_grad_();
    optimiser_ = train::make_optimiser(plan.config.text("optimiser.name"), {logits_},
                                       {.lr = learning_rate_});
  }

  int64_t steps_per_epoch() const override { return steps_per_epoch_; }
  int64_t epochs() const override { return epochs_; }

  train::StepReport step(int64_t step) override {
    const double total = static_cast<double>(steps_per_epoch_ * epochs_);
    const Tensor objective = loss(estimator_.at(static_cast<double>(step) / total));
    optimiser_->zero_grad();
    objective.backward();
    const double value = objective.item<double>();
    if (!std::isfinite(value) || !std::isfinite(logits_.grad().sum().item<double>())) {
      throw train::Diverged("loss or gradient of the logits is not finite with " +
                            to_string(estimator_) + ", lr " + std::to_string(learning_rate_));
    }
    optimiser_->step();
    loss_.add(value, 1);
    return {value, batch_};
  }

  train::EpochReport end_epoch(int64_t) override {
    const at::NoGradGuard no_grad;
    const Tensor theta = logits_.to(at::kDouble), pi = at::softmax(theta, -1);
    const Tensor largest = std::get<0>(theta.topk(2, -1));
    const double exact = exact_loss(theta, 1).item<double>();
    train::MetricLine line;
    line.split = train::Split::train;
    line.n = loss_.count * batch_;
    line.values = {
        {"loss", loss_.value()},
        {"exact_loss", exact},
        {"pi_0", pi.select(-1, 0).mean().item<double>()},
        {"logit_gap", (largest.select(-1, 0) - largest.select(-1, 1)).mean().item<double>()}};
    loss_ = {};
    return {{line}, exact};
  }

  void store(Checkpoint& checkpoint) const override {
    checkpoint.tensors["logits"] = logits_.detach();
    checkpoint.tensors["baseline"] = baseline_;
    train::store(*optimiser_, checkpoint, "optimiser.");
    experiments::store(loss_, checkpoint, "epoch");
    checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
  }

  void restore(const Checkpoint& checkpoint) override {
    const at::NoGradGuard no_grad;
    logits_.copy_(checkpoint.tensor("logits"));
    baseline_.copy_(checkpoint.tensor("baseline"));
    train::restore(*optimiser_, checkpoint, "optimiser.");
    experiments::restore(loss_, checkpoint, "epoch");
    noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
  }

 private:
  /// J in closed form: the expectation separates over the variables.
  Tensor exact_loss(const Tensor& theta, double tau_f) const {
    const Tensor pi = at::softmax(theta / tau_f, -1);
    return (pi * values_.to(pi.scalar_type())).sum(-1).mean();
  }

  /// The objective of one update; its backward is the estimator's gradient.
  Tensor loss(const Estimator& e) {
    if (e.method == Method::exact) return exact_loss(logits_, traits(e).sampling_tau);
    ExpectationOptions options;
    options.baseline = baseline_;
    options.key = noise_.take(expectation_offsets_used(e, options));
    const Tensor logits = logits_.expand({batch_, logits_.size(0), logits_.size(1)});
    return expectation(f_, logits, e, options);
  }

  Estimator estimator_;
  int64_t batch_, epochs_, steps_per_epoch_;
  double learning_rate_;
  Function f_;
  Tensor values_;  // of f for each category, [K]
  Tensor logits_;  // [L, K]
  Tensor baseline_ = at::zeros({});
  Key noise_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
  Mean loss_;  // over updates
};

/// Refuses what the first update would refuse.
Estimator resolve(Config& config, const Estimator& estimator) {
  const auto [K, L] = parse_latent(config.text("latent"));
  if (estimator.method == Method::exact) return estimator;
  ExpectationOptions options;
  options.baseline = at::zeros({});
  Evaluation(at::zeros({1, L, K}), estimator.at(0), options);
  return estimator;
}

StartedRun start(const RunPlan& plan) {
  return {std::make_unique<PolyTraining>(plan), {}};
}

}  // namespace

Experiment poly() {
  return {.name = "poly",
          .summary = "polynomial programming: where an estimator's fixed points lie",
          .keys = poly_keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_loss", "train_exact_loss", "train_pi_0", "train_logit_gap"}};
}

}  // namespace gradthru::experiments
