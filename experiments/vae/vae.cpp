#include "experiments/vae/vae.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "experiments/vae/exact_bound.h"
#include "experiments/vae/model.h"
#include "experiments/vae/setup.h"
#include "experiments/vae/tuned.h"
#include "train/optimiser.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using train::Checkpoint;
using train::Config;
using train::MetricLine;

/// Sums of per-example metrics, weighted by batch size; nothing waits for a value before the end.
class Averages {
 public:
  void add(const VaeLoss& loss, int64_t n) {
    const at::NoGradGuard no_grad;
    sums_ += at::stack({loss.nelbo(), loss.recon, loss.kl, loss.max_prob}).to(at::kDouble) *
             static_cast<double>(n);
    count_ += n;
  }

  std::vector<train::Metric> metrics() const {
    const at::Tensor means = sums_ / static_cast<double>(std::max<int64_t>(count_, 1));
    std::vector<train::Metric> result;
    const char* names[] = {"nelbo", "recon", "kl", "max_prob"};
    for (int i = 0; i < 4; ++i) result.push_back({names[i], means[i].item<double>()});
    return result;
  }

  int64_t count() const { return count_; }

  void store(Checkpoint& checkpoint) const {
    checkpoint.tensors["averages.sums"] = sums_;
    checkpoint.integers["averages.count"] = count_;
  }
  void restore(const Checkpoint& checkpoint) {
    sums_ = checkpoint.tensor("averages.sums").clone();
    count_ = checkpoint.integer("averages.count");
  }

 private:
  at::Tensor sums_ = at::zeros({4}, at::kDouble);
  int64_t count_ = 0;
};

class VaeTraining : public train::Training {
 public:
  VaeTraining(const RunPlan& plan, const data::ImageSet& images)
      : estimator_(plan.estimator),
        seed_(plan.seed),
        epochs_(plan.config.integer("epochs")),
        batch_(plan.config.integer("batch_size")),
        exact_(plan.config.text("eval.exact")),
        learning_rate_(plan.config.number("optimiser.lr")),
        train_(first_of(images.train_images, plan.config.integer("data.train_limit"))),
        test_(first_of(images.test_images, plan.config.integer("data.test_limit"))),
        model_(initial_model(shape_of(plan.config, images.train_images.size(1)), plan.seed)),
        noise_(train::stream_key(plan.seed, "noise")),
        order_seed_(train::stream_seed(plan.seed, "order")) {
    std::vector<at::Tensor> parameters;
    for (const auto& [name, tensor] : model_.named_parameters()) parameters.push_back(tensor);
    optimiser_ = train::make_optimiser(plan.config.text("optimiser.name"), std::move(parameters),
                                       {.lr = learning_rate_});
  }

  int64_t steps_per_epoch() const override { return (train_.size(0) + batch_ - 1) / batch_; }
  int64_t epochs() const override { return epochs_; }

  train::StepReport step(int64_t step) override {
    const at::Tensor x = train_.index_select(0, batch_indices(step));
    const double total = static_cast<double>(steps_per_epoch() * epochs_);
    const Estimator estimator = estimator_.at(static_cast<double>(step) / total);
    const VaeLoss loss = model_.loss(x, estimator, noise_.take(offsets_used(estimator)));
    const at::Tensor objective = loss.nelbo();
    optimiser_->zero_grad();
    objective.backward();
    const double value = objective.item<double>();
    require_finite(value);
    optimiser_->step();
    averages_.add(loss, x.size(0));
    return {value, x.size(0)};
  }

  train::EpochReport end_epoch(int64_t epoch) override {
    MetricLine training;
    training.kind = train::Kind::train;
    training.split = train::Split::train;
    training.n = averages_.count();
    training.values = averages_.metrics();
    averages_ = Averages();
    MetricLine test = evaluate();
    if (wants_exact_bound(epoch)) {
      const ExactBound bound = exact_bound(model_, test_);
      test.values.push_back({"nelbo_exact", bound.nelbo});
      test.values.push_back({"nll", bound.nll});
    }
    const double selection = std::get<double>(test.values[0].value);
    return {{training, test}, selection};
  }

  void store(Checkpoint& checkpoint) const override {
    for (const auto& [name, tensor] : model_.named_parameters()) {
      checkpoint.tensors["model." + name] = tensor.detach();
    }
    train::store(*optimiser_, checkpoint, "optimiser.");
    averages_.store(checkpoint);
    checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
  }

  void restore(const Checkpoint& checkpoint) override {
    model_.restore(checkpoint);
    train::restore(*optimiser_, checkpoint, "optimiser.");
    averages_.restore(checkpoint);
    noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
  }

 private:
  static VaeModel initial_model(const VaeShape& shape, uint64_t seed) {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    generator.set_current_seed(train::stream_seed(seed, "init"));
    return VaeModel(shape);
  }

  at::Tensor batch_indices(int64_t step) {
    const int64_t epoch = step / steps_per_epoch();
    if (epoch != order_epoch_) {
      order_ = train::epoch_order(order_seed_, epoch, train_.size(0));
      order_epoch_ = epoch;
    }
    const int64_t start = step % steps_per_epoch() * batch_;
    return order_.narrow(0, start, std::min(batch_, order_.size(0) - start));
  }

  std::string setting() const {
    std::ostringstream text;
    text << " with " << to_string(estimator_) << ", lr " << learning_rate_;
    return text.str();
  }

  void require_finite(double loss) const {
    if (!std::isfinite(loss)) throw train::Diverged("loss is not finite" + setting());
    std::vector<at::Tensor> sums;
    for (const auto& [name, tensor] : model_.named_parameters())
      sums.push_back(tensor.grad().sum());
    if (at::isfinite(at::stack(sums)).all().item<bool>()) return;
    for (size_t i = 0; i < sums.size(); ++i) {
      if (!std::isfinite(sums[i].item<double>())) {
        throw train::Diverged("gradient of " + model_.named_parameters()[i].first +
                              " is not finite" + setting());
      }
    }
  }

  /// One sample per image, from the `eval` stream: the same draws every time.
  MetricLine evaluate() const {
    const at::NoGradGuard no_grad;
    Key key = train::stream_key(seed_, "eval");
    const Estimator estimator = estimator_.at(1);
    Averages averages;
    constexpr int64_t kBlock = 1000;
    for (int64_t start = 0; start < test_.size(0); start += kBlock) {
      const at::Tensor x = test_.narrow(0, start, std::min(kBlock, test_.size(0) - start));
      key.row0 = start * model_.shape().L;
      averages.add(model_.loss(x, estimator, key), x.size(0));
    }
    MetricLine line;
    line.kind = train::Kind::eval;
    line.split = train::Split::test;
    line.n = averages.count();
    line.values = averages.metrics();
    return line;
  }

  /// The enumeration weights codes by q at temperature 1: the law of the sampled bound only where
  /// the estimator draws at that temperature and decodes one-hots.
  bool wants_exact_bound(int64_t epoch) const {
    const Traits facts = traits(estimator_.at(1));
    if (facts.sampling_tau != 1 || facts.relaxed) return false;
    if (model_.shape().codes(kEnumerationLimit) < 0) return false;
    return exact_ == "every" || (exact_ == "last" && epoch == epochs_);
  }

  Estimator estimator_;
  uint64_t seed_;
  int64_t epochs_, batch_;
  std::string exact_;
  double learning_rate_;
  at::Tensor train_, test_;
  VaeModel model_;
  Key noise_;
  uint64_t order_seed_;
  int64_t order_epoch_ = -1;
  at::Tensor order_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
  Averages averages_;
};

/// The method in its published single-temperature form, its other settings kept.
Estimator at_tau(const Estimator& e, double tau) {
  Parameters parameters;
  for (const auto& key : about(e.method).parameters) {
    if (key == "gap") parameters.gap = e.gap;
    if (key == "samples") parameters.samples = e.samples;
    if (key == "alpha") parameters.alpha = e.alpha;
    if (key == "t") parameters.t = e.t;
    if (key == "eta") parameters.eta = e.eta;
    if (key == "draw") parameters.draw = e.draw;
    if (key == "values") parameters.values = e.values;
    if (key == "consistent") parameters.consistent = e.consistent;
    if (key == "detach") parameters.detach = e.detach;
    if (key == "hard") parameters.hard = e.hard;
  }
  parameters.tau = tau;
  return make_estimator(e.method, parameters);
}

/// The tuned optimiser where none was asked for, and the tuned temperature where one is wanted.
Estimator resolve(Config& config, const Estimator& estimator) {
  parse_latent(config.text("latent"));  // refuses what cannot be run
  if (about(estimator.method).family == Family::score) {
    throw InvalidInput(
        "vae: wanted an estimator that takes the gradient at the sample, such as "
        "reinmax(1.3), got '" +
        to_string(estimator) + "', which takes values");
  }
  const Tuned choice = tuned(estimator.method, config.text("latent"));
  if (!config.has_been_set("optimiser.name")) config.set("optimiser.name=" + choice.optimiser);
  if (!config.has_been_set("optimiser.lr")) config.set("optimiser.lr=" + choice.lr);
  const bool wanted = config.boolean("tuned_tau");
  config.set("tuned_tau=false");  // the configuration of the run says the temperature itself
  return wanted && choice.tau ? at_tau(estimator, *choice.tau) : estimator;
}

StartedRun start(const RunPlan& plan) {
  const auto images = images_of(plan.config);
  StartedRun run;
  run.training = std::make_unique<VaeTraining>(plan, *images);
  for (const auto& file : images->sha256) run.data.push_back(file);
  return run;
}

}  // namespace

Experiment vae() {
  return {.name = "vae",
          .summary = "categorical VAE on grey images: six latent sizes, any estimator",
          .keys = vae_keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_nelbo", "test_nelbo", "test_recon", "test_kl", "test_nelbo_exact",
                      "test_nll"}};
}

}  // namespace gradthru::experiments
