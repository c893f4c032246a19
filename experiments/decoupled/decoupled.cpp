#include "experiments/decoupled/decoupled.h"

#include <ATen/Functions.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "experiments/decoupled/split.h"
#include "experiments/decoupled/task.h"
#include "experiments/decoupled/training.h"
#include "experiments/vae/tuned.h"
#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "lab/gap.h"
#include "train/optimiser.h"

namespace gradthru::experiments {
namespace {

using decoupled::kModes;
using decoupled::TaskEntry;
using train::Config;

std::vector<train::ConfigKey> keys() {
  std::vector<std::string> names;
  for (const TaskEntry& task : decoupled::tasks()) names.push_back(task.name);
  const std::vector<std::string> modes(kModes.begin(), kModes.end());
  return {
      {"task", std::string("cat-ae"), "what is trained", {.choices = names}},
      {"select",
       std::string("tau_f"),
       "which evaluation is valid_loss and picks the best epoch: sampled at tau_f, at one, argmax",
       {.choices = modes}},
      {"kl_tau", std::string("1"), "of the VAEs: 1 or tau_f", {.choices = {"1", "tau_f"}}},
      {"encoder_lr_scale", 1.0, "multiplies the learning rate of the encoder", {.above = 0}},
      {"epochs", int64_t{3}, "epochs", {.min = 1}},
      {"steps_per_epoch", int64_t{0}, "updates of an epoch; 0: a pass over the images", {.min = 0}},
      {"batch_size", int64_t{128}, "images per update; not set: the task's", {.min = 1}},
      {"optimiser.name",
       std::string("adam"),
       "adam, radam or sgd; not set: the task's",
       {.choices = train::optimiser_names()}},
      {"optimiser.lr", 1e-3, "learning rate; not set: the task's", {.above = 0}},
      {"model.size",
       std::string("full"),
       "small or full: the widths of the model",
       {.choices = {"small", "full"}}},
      {"model.hidden",
       std::vector<int64_t>{},
       "widths up to the variables; not set: the task's at model.size",
       {.min = 1}},
      {"gap", false, "measure the gradient gap", {}},
      {"gap_epochs",
       std::vector<int64_t>{0, 1, 5},
       "after which epochs; after the last one always",
       {.min = 0}},
      {"gap_images", int64_t{128}, "the first n training images", {.min = 1}},
      {"gap_draws", int64_t{8}, "draws", {.min = 2}},
      {"eval.samples", int64_t{1}, "of each image; not set: the task's", {.min = 1}},
      {"data.name",
       std::string("mnist"),
       "images; not set: the task's",
       {.choices = {"mnist", "fashion-mnist", "digits"}}},
      {"data.dir", std::string(""), "root folder of the data sets", {}},
      {"data.verify", true, "check sizes and SHA-256 of the files", {}},
      {"data.train_limit", int64_t{0}, "use only the first n training images; 0: all", {.min = 0}},
      {"data.valid_limit", int64_t{0}, "the same for validation", {.min = 0}},
      {"data.test_limit", int64_t{0}, "the same for the test", {.min = 0}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints inside an epoch", {.min = 0}},
  };
}

void fill_in(Config& config, const TaskEntry& task, const Estimator& e) {
  const auto otherwise = [&](const std::string& key, const std::string& value) {
    if (!config.has_been_set(key)) config.set(key + "=" + value);
  };
  const auto tuning = tuned(e.method, task.latent);
  otherwise("optimiser.name", task.latent.empty() ? "adam" : tuning.optimiser);
  otherwise("optimiser.lr", task.latent.empty() ? task.lr : tuning.lr);
  otherwise("data.name", task.data);
  otherwise("batch_size", std::to_string(task.batch));
  otherwise("eval.samples", std::to_string(task.samples));
  std::string widths;
  for (const int64_t w : config.text("model.size") == "small" ? task.small : task.full) {
    widths += (widths.empty() ? "" : ", ") + std::to_string(w);
  }
  otherwise("model.hidden", "[" + widths + "]");
}

void check_widths(const Config& config, const TaskEntry& task) {
  const size_t count = config.integers("model.hidden").size();
  if (count >= task.fewest && count <= task.most) return;
  const std::string fewest = std::to_string(task.fewest), most = std::to_string(task.most);
  throw InvalidInput("model.hidden: " + task.name + " wants " +
                     (task.fewest == task.most ? fewest : fewest + " to " + most) +
                     " widths, got " + std::to_string(count));
}

/// Refuses what has no gradient at a sample, by asking for a sample of one variable.
void check_method(const TaskEntry& task, const Estimator& e) {
  if (task.has_mean && e.method == Method::ap1) return;
  if (about(e.method).family != Family::pathwise) {
    throw InvalidInput(
        "decoupled: wanted an estimator that takes the gradient at the sample, "
        "such as st(tau_f=0.5,tau_b=2), got '" +
        to_string(e) + "'");
  }
  const at::Tensor logits = at::zeros({1, 2});
  if (task.binary) {
    sample_binary(logits, e.at(0), {.key = Key{}});
  } else {
    sample(at::zeros({1, 8}), e.at(0), {.key = Key{}});
  }
}

void check_gap(const TaskEntry& task, const Estimator& e) {
  if (!task.has_gap) {
    throw InvalidInput("gap: wanted a task with one layer of variables, got " + task.name);
  }
  if (lab::has_surrogate(e)) return;
  throw InvalidInput("gap: wanted st, gst or gumbel_softmax, got " + to_string(e));
}

void check_kl(const Config& config, const TaskEntry& task, const Estimator& e) {
  if (config.text("kl_tau") == "1") return;
  if (task.latent.empty()) {
    throw InvalidInput("kl_tau=tau_f is for the VAEs, got task " + task.name);
  }
  for (const double progress : {0.0, 1.0}) {
    if (traits(e.at(progress)).sampling_tau > 0) continue;
    throw InvalidInput("kl_tau=tau_f wants tau_f > 0, got " + to_string(e));
  }
}

Estimator resolve(Config& config, const Estimator& e) {
  const TaskEntry& task = decoupled::task(config.text("task"));
  fill_in(config, task, e);
  check_widths(config, task);
  check_method(task, e);
  check_kl(config, task, e);
  if (config.boolean("gap")) check_gap(task, e);
  return e;
}

StartedRun start(const RunPlan& plan) {
  auto images = decoupled::load_held_out(plan.config);
  auto hashes = images.sha256;
  return {std::make_unique<decoupled::Training>(plan, std::move(images)), std::move(hashes)};
}

}  // namespace

Experiment decoupled_experiment() {
  return {.name = "decoupled",
          .summary = "two temperatures, of the sample and of its gradient, on several tasks",
          .keys = keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_loss", "valid_loss", "test_loss", "test_loss_tau_f", "test_loss_one",
                      "test_loss_argmax", "test_acc1_tau_f", "test_acc1_one", "test_acc1_argmax"}};
}

}  // namespace gradthru::experiments
