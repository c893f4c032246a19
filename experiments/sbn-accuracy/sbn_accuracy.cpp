#include "experiments/sbn-accuracy/sbn_accuracy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "experiments/methods.h"
#include "experiments/sbn-accuracy/probe.h"
#include "experiments/sbn-accuracy/toy.h"
#include "lab/network_fidelity.h"
#include "lab/network_module.h"
#include "lab/one_thread.h"
#include "train/atomic_file.h"
#include "train/optimiser.h"
#include "train/sha256.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using at::Tensor;
using train::Checkpoint;
using train::Config;
using train::MetricLine;

constexpr size_t kMostHidden = 6;

std::vector<train::ConfigKey> keys() {
  return {
      {"net",
       std::string(""),
       "a gradthru-sbn file that is measured instead of the toy network in training; known: the "
       "network of known answers",
       {}},
      {"hidden",
       std::vector<int64_t>{5, 5, 5},
       "units of the layers",
       {.min = 1, .max = static_cast<double>(lab::kMostUnits)}},
      {"points", int64_t{200}, "data points, half of each class", {.min = 2}},
      {"epochs",
       std::vector<int64_t>{1, 100},
       "epochs after which is measured; training ends with the last",
       {.min = 1}},
      {"batch_size", int64_t{10}, "points per update", {.min = 1}},
      {"train.method", std::string("reinforce"), "the estimator to train with", {}},
      {"optimiser.name",
       std::string("sgd"),
       "adam, radam or sgd",
       {.choices = train::optimiser_names()}},
      {"optimiser.lr", 0.03, "learning rate", {.above = 0}},
      {"optimiser.momentum", 0.9, "of sgd", {.min = 0, .below = 1}},
      {"samples", int64_t{2000}, "estimates that are drawn", {.min = lab::kFewestDraws}},
      {"save", std::string(""), "folder for the networks that are measured, as files", {}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints inside an epoch", {.min = 0}},
  };
}

lab::BinaryNetwork network_of(const std::string& net) {
  return net == "known" ? known_network() : lab::read_network(net);
}

/// A network that is what it is: one step, which measures it.
class GivenNetwork : public train::Training {
 public:
  GivenNetwork(const RunPlan& plan, lab::BinaryNetwork network)
      : probe_(plan), network_(std::move(network)) {}

  int64_t steps_per_epoch() const override { return 1; }
  int64_t epochs() const override { return 1; }
  train::StepReport step(int64_t) override { return {0, network_.x.size(0)}; }
  train::EpochReport end_epoch(int64_t) override { return probe_(network_); }
  void store(Checkpoint&) const override {}
  void restore(const Checkpoint&) override {}

 private:
  NetworkProbe probe_;
  lab::BinaryNetwork network_;
};

/// The toy network in training, measured between epochs.
class ToyTraining : public train::Training {
 public:
  explicit ToyTraining(const RunPlan& plan)
      : probe_(plan),
        network_(
            toy_network(plan.config.integers("hidden"), plan.config.integer("points"), plan.seed)),
        module_(lab::module_of(network_)),
        estimator_(parse_estimator(plan.config.text("train.method"))),
        epochs_(plan.config.integers("epochs")),
        batch_(plan.config.integer("batch_size")),
        save_(plan.config.text("save")),
        noise_(train::stream_key(plan.seed, "noise")),
        order_seed_(train::stream_seed(plan.seed, "order")) {
    train::OptimiserOptions options{.lr = plan.config.number("optimiser.lr")};
    const std::string& name = plan.config.text("optimiser.name");
    if (name == "sgd") options.momentum = plan.config.number("optimiser.momentum");
    optimiser_ = train::make_optimiser(name, module_->parameters(), options);
  }

  int64_t steps_per_epoch() const override { return (points() + batch_ - 1) / batch_; }
  int64_t epochs() const override { return *std::max_element(epochs_.begin(), epochs_.end()); }

  train::StepReport step(int64_t step) override {
    const lab::OneThread tiny;
    const int64_t epoch = step / steps_per_epoch();
    if (epoch != order_epoch_) {
      order_ = train::epoch_order(order_seed_, epoch, points());
      order_epoch_ = epoch;
    }
    const int64_t first = step % steps_per_epoch() * batch_;
    const Tensor some = order_.narrow(0, first, std::min(batch_, points() - first));
    nn::NetworkOptions options{.one_flip_average = false};
    options.baseline = baseline_;
    options.key = noise_.take(module_->offsets_used(estimator_));
    const Tensor loss = module_->loss(network_.x.index_select(0, some),
                                      network_.y.index_select(0, some), estimator_, options);
    optimiser_->zero_grad();
    loss.backward();
    const double value = loss.item<double>();
    require_finite(value);
    optimiser_->step();
    sum_ += value;
    ++count_;
    return {value, some.size(0)};
  }

  train::EpochReport end_epoch(int64_t epoch) override {
    MetricLine line;
    line.split = train::Split::train;
    line.n = points();
    const double loss = sum_ / static_cast<double>(count_);
    line.values = {{"loss", loss}};
    sum_ = 0;
    count_ = 0;
    if (std::find(epochs_.begin(), epochs_.end(), epoch) == epochs_.end()) return {{line}, loss};
    network_.layers = lab::detached_layers_of(*module_);
    save_network(epoch);
    const train::EpochReport measured = probe_(network_);
    return {{line, measured.lines.front()}, loss};
  }

  void store(Checkpoint& checkpoint) const override {
    for (const auto& item : module_->named_parameters()) {
      checkpoint.tensors["model." + item.key()] = item.value().detach();
    }
    train::store(*optimiser_, checkpoint, "optimiser.");
    checkpoint.tensors["baseline"] = baseline_;
    checkpoint.numbers["epoch.sum"] = sum_;
    checkpoint.integers["epoch.count"] = count_;
    checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
  }

  void restore(const Checkpoint& checkpoint) override {
    const at::NoGradGuard no_grad;
    for (const auto& item : module_->named_parameters()) {
      item.value().copy_(checkpoint.tensor("model." + item.key()));
    }
    train::restore(*optimiser_, checkpoint, "optimiser.");
    baseline_.copy_(checkpoint.tensor("baseline"));
    sum_ = checkpoint.number("epoch.sum");
    count_ = checkpoint.integer("epoch.count");
    noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
  }

 private:
  int64_t points() const { return network_.x.size(0); }

  void require_finite(double loss) const {
    bool finite = std::isfinite(loss);
    for (const Tensor& p : module_->parameters()) {
      finite = finite && std::isfinite(p.grad().sum().item<double>());
    }
    if (!finite) {
      throw train::Diverged("loss or gradient is not finite with " + to_string(estimator_));
    }
  }

  void save_network(int64_t epoch) const {
    if (save_.empty()) return;
    std::filesystem::create_directories(save_);
    const auto path = std::filesystem::path(save_) / ("epoch-" + std::to_string(epoch) + ".json");
    train::write_atomically(path, lab::to_json(network_));
  }

  NetworkProbe probe_;
  lab::BinaryNetwork network_;
  nn::StochasticBinarySequential module_;
  Estimator estimator_;
  std::vector<int64_t> epochs_;
  int64_t batch_;
  std::string save_;
  Tensor baseline_ = at::zeros({}, at::kDouble);
  Key noise_;
  uint64_t order_seed_;
  int64_t order_epoch_ = -1;
  Tensor order_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
  double sum_ = 0;
  int64_t count_ = 0;
};

Estimator constant(const char* where, const std::string& spec) {
  return parse_constant_estimators(where, std::vector<std::string>{spec}).front();
}

/// Refuses what the first measurement would refuse.
Estimator resolve(Config& config, const Estimator& given) {
  const Estimator estimator = constant("methods", to_string(given));
  const std::string& net = config.text("net");
  if (!net.empty()) {
    if (!config.text("save").empty())
      throw InvalidInput("save: nothing is trained with net=" + net);
    lab::check_estimators(network_of(net), {estimator});
    return estimator;
  }
  const auto& hidden = config.integers("hidden");
  if (hidden.empty() || hidden.size() > kMostHidden) {
    throw InvalidInput("hidden: wanted 1 to " + std::to_string(kMostHidden) + " layers, got " +
                       std::to_string(hidden.size()));
  }
  if (config.integers("epochs").empty()) {
    throw InvalidInput("epochs: wanted at least one, got none");
  }
  lab::check_estimators(toy_network({1}, 2, 0),
                        {estimator, constant("train.method", config.text("train.method"))});
  return estimator;
}

StartedRun start(const RunPlan& plan) {
  const std::string& net = plan.config.text("net");
  if (net.empty()) return {std::make_unique<ToyTraining>(plan), {}};
  StartedRun run{std::make_unique<GivenNetwork>(plan, network_of(net)), {}};
  if (net != "known") run.data.emplace_back(net, train::sha256_hex(read_text(net)));
  return run;
}

}  // namespace

Experiment sbn_accuracy() {
  return {.name = "sbn-accuracy",
          .summary = "gradient accuracy in small stochastic binary networks, by enumeration",
          .keys = keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_rel_bias_1", "train_rel_bias_2", "train_rel_bias_3",
                      "train_rel_rmse_1", "train_rel_rmse_2", "train_rel_rmse_3",
                      "train_rel_rmse_100_1", "train_rel_rmse_100_2", "train_rel_rmse_100_3"}};
}

}  // namespace gradthru::experiments
