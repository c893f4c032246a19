#include "experiments/bernoulli-vae/bernoulli_vae.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "experiments/bernoulli-vae/data.h"
#include "experiments/bernoulli-vae/training.h"
#include "gradthru/bernoulli.h"
#include "train/optimiser.h"

namespace gradthru::experiments {
namespace {

using train::Config;

std::vector<train::ConfigKey> keys() {
  return {
      {"variant",
       std::string("fixed"),
       "fixed, or as the released code has it",
       {.choices = {"fixed", "released"}}},
      {"decoder_passes",
       int64_t{0},
       "evaluations of the decoder by each update; 0: those of one estimate",
       {.min = 0}},
      {"updates", int64_t{1500}, "updates in all", {.min = 1}},
      {"eval_every", int64_t{500}, "updates between evaluations; divides updates", {.min = 1}},
      {"batch_size", int64_t{100}, "images per update", {.min = 1}},
      {"optimiser.name",
       std::string("radam"),
       "adam, radam or sgd",
       {.choices = train::optimiser_names()}},
      {"optimiser.lr", 3e-4, "learning rate", {.above = 0}},
      {"model.latents", int64_t{200}, "binary latents", {.min = 1}},
      {"model.hidden", std::vector<int64_t>{200, 200}, "encoder widths, mirrored", {.min = 1}},
      {"data.name",
       std::string("mnist"),
       "images",
       {.choices = {"mnist", "fashion-mnist", "omniglot", "digits"}}},
      {"data.dir", std::string(""), "root folder of the data sets", {}},
      {"data.verify", true, "check sizes and SHA-256 of the files", {}},
      {"data.train_limit", int64_t{0}, "use only the first n training images; 0: all", {.min = 0}},
      {"data.valid_limit", int64_t{0}, "the same for validation", {.min = 0}},
      {"data.test_limit", int64_t{0}, "the same for the test", {.min = 0}},
      {"eval.bound",
       std::string("last"),
       "when to take the importance-weighted test bound: never, last or every evaluation",
       {.choices = {"never", "last", "every"}}},
      {"eval.bound_samples", int64_t{100}, "of each image", {.min = 1}},
      {"eval.bound_images", int64_t{0}, "the first n test images; 0: all", {.min = 0}},
      {"variance.every",
       int64_t{10000},
       "updates between measurements of the encoder's gradient; 0: never",
       {.min = 0}},
      {"variance.draws", int64_t{100}, "draws of a measurement", {.min = 2}},
      {"variance.images", int64_t{100}, "the first n training images", {.min = 1}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints", {.min = 0}},
  };
}

void check_updates(const Config& config) {
  const int64_t every = config.integer("eval_every");
  const auto divides = [&](const std::string& key) {
    if (config.integer(key) % every == 0) return;
    throw InvalidInput(key + ": wanted a multiple of eval_every=" + std::to_string(every) +
                       ", got " + std::to_string(config.integer(key)));
  };
  divides("updates");
  divides("variance.every");
}

/// Refuses a budget of passes of the decoder that the estimator cannot spend.
void check_passes(const Config& config, const Estimator& e) {
  const double each = evaluations(e, config.integer("model.latents"), 2);
  constexpr double kMost = 1 << 16;
  if (each > kMost) {
    throw InvalidInput("bernoulli-vae: " + to_string(e) + " evaluates the decoder more than " +
                       std::to_string(static_cast<int64_t>(kMost)) + " times for one estimate at " +
                       config.assignment("model.latents"));
  }
  const auto one = static_cast<int64_t>(each);
  const int64_t passes = config.integer("decoder_passes");
  if (passes % one != 0) {
    throw InvalidInput("decoder_passes: " + to_string(e) + " wants a multiple of " +
                       std::to_string(one) + ", got " + std::to_string(passes));
  }
}

Estimator resolve(Config& config, const Estimator& e) {
  if (about(e.method).family == Family::network) {
    throw InvalidInput("bernoulli-vae: wanted an estimator of one layer, such as reinmax(1.1) or " +
                       std::string("rloo(2), got '") + to_string(e) + "'");
  }
  // Refuses what is not for binary variables.
  if (about(e.method).family == Family::pathwise) {
    sample_binary(at::zeros({1}), e.at(0), {.key = Key{}});
  }
  check_updates(config);
  check_passes(config, e.at(0));
  return e;
}

StartedRun start(const RunPlan& plan) {
  const auto images = bernoulli::load_grey(plan.config);
  return {std::make_unique<bernoulli::Training>(plan, images), images.sha256};
}

}  // namespace

Experiment bernoulli_vae() {
  return {.name = "bernoulli-vae",
          .summary = "VAE with 200 binary latents: gradients at the sample beside unbiased ones",
          .keys = keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_nelbo", "valid_nelbo", "test_nelbo", "test_kl", "test_active_units",
                      "test_bound", "train_decoder_evaluations", "train_encoder_grad_variance"}};
}

}  // namespace gradthru::experiments
