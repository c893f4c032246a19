#include "experiments/listops/listops.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "experiments/listops/examples.h"
#include "experiments/listops/generator.h"
#include "experiments/listops/training.h"
#include "gradthru/categorical.h"
#include "train/optimiser.h"

namespace gradthru::experiments {
namespace {

using train::Config;

std::vector<train::ConfigKey> keys() {
  return {
      {"epochs", int64_t{20}, "epochs", {.min = 1}},
      {"steps_per_epoch", int64_t{0}, "updates of an epoch; 0: a pass", {.min = 0}},
      {"validations", int64_t{2}, "validations in an epoch", {.min = 1}},
      {"batch_size", int64_t{16}, "expressions per update", {.min = 1}},
      {"clip", 5.0, "largest norm of a gradient, all parameters together", {.above = 0}},
      {"patience",
       int64_t{4},
       "validations without a better accuracy, after which the learning rate is halved",
       {.min = 1}},
      {"optimiser.name",
       std::string("adam"),
       "adam, radam or sgd; not set: radam for reinmax, adam for others",
       {.choices = train::optimiser_names()}},
      {"optimiser.lr",
       1e-3,
       "learning rate; not set: 0.0007 for reinmax, else 0.001",
       {.above = 0}},
      {"model.width", int64_t{300}, "of embeddings and states", {.min = 1, .max = 10000}},
      {"model.dropout", 0.5, "of embeddings and in the classifier", {.min = 0, .below = 1}},
      {"model.embedding_sd", 0.01, "standard deviation of an embedding at the start", {.above = 0}},
      {"data.dir", std::string(""), "root folder of the data sets", {}},
      {"data.verify", true, "check SHA-256 of the test set and of what is generated", {}},
      {"data.generated",
       listops::kGenerated,
       "expressions to generate; a tenth is for validation",
       {.min = 10, .max = 1e7}},
      {"data.max_tokens",
       listops::kTooLong - 1,
       "most tokens of an expression for training and validation",
       {.min = 1, .max = static_cast<double>(listops::kTooLong - 1)}},
      {"data.train_limit", int64_t{0}, "use only the first n for training; 0: all", {.min = 0}},
      {"data.valid_limit", int64_t{0}, "the same for validation", {.min = 0}},
      {"data.test_limit", int64_t{0}, "the same for the test", {.min = 0}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints inside an epoch", {.min = 0}},
  };
}

/// Refuses what cannot choose among any number of pairs, by asking for a choice.
void check_method(const Estimator& e) {
  const auto fields = about(e.method).parameters;
  const bool fixed = std::find(fields.begin(), fields.end(), "values") != fields.end();
  if (about(e.method).family != Family::pathwise || fixed || traits(e).binary_only) {
    throw InvalidInput(
        "listops: wanted an estimator that takes the gradient at the sample and has any number of "
        "categories, such as gst(1.0), got '" +
        to_string(e) + "'");
  }
  const at::Tensor mask = at::tensor({1, 0, 1}, at::kLong).to(at::kBool);
  sample(at::zeros({1, 3}), e.at(0), {.mask = mask, .key = Key{}});
}

Estimator resolve(Config& config, const Estimator& e) {
  check_method(e);
  const bool reinmax = name(e.method).starts_with("reinmax");
  if (!config.has_been_set("optimiser.name")) {
    config.set(std::string("optimiser.name=") + (reinmax ? "radam" : "adam"));
  }
  if (!config.has_been_set("optimiser.lr")) {
    config.set(std::string("optimiser.lr=") + (reinmax ? "0.0007" : "0.001"));
  }
  return e;
}

StartedRun start(const RunPlan& plan) {
  auto examples = listops::load_examples(plan.config);
  auto hashes = examples.sha256;
  return {std::make_unique<listops::Training>(plan, std::move(examples)), std::move(hashes)};
}

}  // namespace

Experiment listops_experiment() {
  return {.name = "listops",
          .summary = "unsupervised parsing of ListOps by a Gumbel Tree-LSTM",
          .keys = keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_loss", "train_examples_per_s", "valid_accuracy", "test_accuracy",
                      "test_accuracy_to_10", "test_accuracy_to_25", "test_accuracy_to_50",
                      "test_accuracy_to_99", "test_accuracy_of_all", "test_loss", "test_span_f1"}};
}

}  // namespace gradthru::experiments
