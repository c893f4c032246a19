#include "experiments/sbn-train/sbn_train.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <memory>
#include <string>

#include "experiments/sbn-train/network.h"
#include "experiments/sbn-train/training.h"
#include "gradthru/nn/binary_linear.h"

namespace gradthru::experiments {
namespace {

using train::Config;

std::vector<train::ConfigKey> sbn_keys() {
  const std::vector<std::string> nets = {"fc", "cifar_s1"}, rules = {"mean", "paper"};
  return {
      {"net", std::string("fc"), "the network: fc or cifar_s1", {.choices = nets}},
      {"fc.hidden", std::vector<int64_t>{200, 200}, "units of the layers of fc", {.min = 1}},
      {"width", 1.0, "of cifar_s1: multiplies its 96 and 192 channels", {.max = 16, .above = 0}},
      {"init",
       std::string("mean"),
       "what normalises the layers: propagated means, or tanh(a) as in the paper",
       {.choices = rules}},
      {"init_images",
       int64_t{1000},
       "training images that the layers are normalised on",
       {.min = 1}},
      {"init_gain", 1.0, "then multiplies the weights and biases of the layers", {.above = 0}},
      {"epochs", int64_t{2}, "epochs", {.min = 1}},
      {"steps_per_epoch", int64_t{0}, "updates of an epoch; 0: a pass over the images", {.min = 0}},
      {"batch_size", int64_t{64}, "images per update", {.min = 1}},
      {"augment", true, "crop (CIFAR-10: and flip) the images of cifar_s1 at random", {}},
      {"one_flip_average", true, "of the head in training, where units are sampled", {}},
      {"squashed_head", false, "ap2, local_reparam: the released code's loss, for comparison", {}},
      {"baseline_decay", 0.9, "of reinforce(baseline=moving)", {.min = 0, .below = 1}},
      {"optimiser.lr", 0.0, "learning rate; 0: the search's, or the method's own", {.min = 0}},
      {"optimiser.momentum", 0.9, "of Nesterov's method", {.above = 0, .below = 1}},
      {"optimiser.clip", 1e3, "bound of every element of the gradient", {.above = 0}},
      {"lr_search.evaluations",
       int64_t{0},
       "learning rates to try; 0: none",
       {.min = 0, .max = 40}},
      {"lr_search.epochs", int64_t{1}, "epochs of a trial", {.min = 1}},
      {"eval.samples", int64_t{10}, "noise samples of each image in an evaluation", {.min = 1}},
      {"eval.curve",
       int64_t{32},
       "test accuracy against 1..n samples at the end; 0: no",
       {.min = 0}},
      {"eval.one_flip_average", false, "of the last layer, in the evaluated loss", {}},
      {"data.name",
       std::string("fashion-mnist"),
       "images",
       {.choices = {"fashion-mnist", "mnist", "cifar-10"}}},
      {"data.dir", std::string(""), "root folder of the data sets", {}},
      {"data.verify", true, "check sizes and SHA-256 of the files", {}},
      {"data.train_limit", int64_t{0}, "use only the first n training images; 0: all", {.min = 0}},
      {"data.valid_limit", int64_t{0}, "the same for validation", {.min = 0}},
      {"data.test_limit", int64_t{0}, "the same for the test", {.min = 0}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints inside an epoch", {.min = 0}},
  };
}

/// Score estimators want smaller steps; the convolutional network takes larger ones.
std::string usual_rate(const Config& config, const Estimator& e) {
  const bool noisy = about(e.method).family == Family::score && e.method != Method::exact;
  if (noisy) return "0.003";
  return config.text("net") == "fc" ? "0.03" : "0.1";
}

/// Refuses methods without a form for networks, by asking a network of two units.
void check_method(const Config& config, const Estimator& e) {
  nn::StochasticBinarySequential tiny({nn::StochasticBinaryLinear(1, 1).ptr()}, 2);
  const at::Tensor x = at::zeros({1, 1}), y = at::zeros({1}, at::kLong);
  tiny->loss(x, y, e.at(0), {.baseline = at::zeros({}), .key = Key{}});
  if (e.method != Method::exact) return;
  const auto& hidden = config.integers("fc.hidden");
  const int64_t most = *std::max_element(hidden.begin(), hidden.end());
  if (config.text("net") == "fc" && most <= tiny->kMostUnits) return;
  throw InvalidInput("sbn-train: exact enumerates layers of at most " +
                     std::to_string(tiny->kMostUnits) +
                     " units; wanted net=fc with such fc.hidden");
}

Estimator resolve(Config& config, const Estimator& estimator) {
  if (config.integers("fc.hidden").empty()) {
    throw InvalidInput("fc.hidden wants at least one layer, got none");
  }
  channels_at(config.number("width"));
  check_method(config, estimator);
  const bool searched = config.integer("lr_search.evaluations") > 0;
  const bool given = config.number("optimiser.lr") > 0;
  if (searched && given) {
    throw InvalidInput(
        "optimiser.lr and lr_search.evaluations are both set; set "
        "lr_search.evaluations=0 to train with the given rate");
  }
  if (!searched && !given) config.set("optimiser.lr=" + usual_rate(config, estimator));
  return estimator;
}

StartedRun start(const RunPlan& plan) {
  SbnData data = load_sbn_data(plan.config, plan.config.text("net") != "fc");
  auto hashes = data.sha256;
  return {std::make_unique<SbnTraining>(plan, std::move(data)), std::move(hashes)};
}

}  // namespace

Experiment sbn_train() {
  return {.name = "sbn-train",
          .summary = "stochastic binary networks, fully connected and convolutional, on images",
          .keys = sbn_keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_loss", "train_lr", "valid_nll", "test_nll", "test_acc1",
                      "test_acc_ens", "test_entropy_bits", "train_step_ms", "train_peak_mib"}};
}

}  // namespace gradthru::experiments
