#include "experiments/listops/training.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "experiments/listops/tree_text.h"
#include "experiments/parameters.h"
#include "train/optimiser.h"
#include "train/sha256.h"
#include "train/streams.h"

namespace gradthru::experiments::listops {
namespace {

using at::Tensor;
using train::Checkpoint;
using train::MetricLine;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Model make_model(const RunPlan& plan) {
  begin_init_stream(plan.seed);
  return Model({plan.config.integer("model.width"), plan.config.number("model.dropout"),
                plan.config.number("model.embedding_sd")});
}

std::vector<int64_t> lengths_of(const std::vector<data::ListOpsExample>& examples) {
  std::vector<int64_t> lengths;
  for (const auto& example : examples) {
    lengths.push_back(static_cast<int64_t>(example.tokens.size()));
  }
  return lengths;
}

/// Dropout is a function of its stream and the step.
at::Generator dropout_of(uint64_t seed, int64_t step) {
  const std::string name =
      std::to_string(train::stream_seed(seed, "dropout")) + "/" + std::to_string(step);
  return at::make_generator<at::CPUGeneratorImpl>(train::sha256_prefix("gradthru/dropout/" + name));
}

}  // namespace

Training::Training(const RunPlan& plan, Examples examples)
    : estimator_(plan.estimator),
      seed_(plan.seed),
      epochs_(plan.config.integer("epochs")),
      steps_per_epoch_(plan.config.integer("steps_per_epoch")),
      clip_(plan.config.number("clip")),
      patience_(plan.config.integer("patience")),
      examples_(std::move(examples)),
      batches_(train::stream_seed(plan.seed, "order"), lengths_of(examples_.train),
               plan.config.integer("batch_size")),
      model_(make_model(plan)),
      noise_(train::stream_key(plan.seed, "noise")),
      rate_(plan.config.number("optimiser.lr")) {
  if (steps_per_epoch_ == 0) steps_per_epoch_ = batches_.per_epoch();
  reports_per_epoch_ = std::min(plan.config.integer("validations"), steps_per_epoch_);
  optimiser_ = train::make_optimiser(plan.config.text("optimiser.name"),
                                     tensors_of(model_.named_parameters()), {.lr = rate_});
}

/// Scales the gradients to a common norm of at most `clip`, and returns what it was.
double Training::clip_gradients() const {
  std::vector<Tensor> norms, gradients;
  for (const auto& [name, parameter] : model_.named_parameters()) {
    if (!parameter.grad().defined()) continue;  // a batch in which no pair is merged
    gradients.push_back(parameter.grad());
    norms.push_back(parameter.grad().norm());
  }
  const double norm = at::stack(norms).norm().item<double>();
  if (norm > clip_) {
    for (Tensor& gradient : gradients) gradient.mul_(clip_ / norm);
  }
  return norm;
}

train::StepReport Training::step(int64_t step) {
  const double start = now();
  std::vector<int64_t> order = batches_.at(step);
  const Batch batch = batch_of(examples_.train, order);
  const double total = static_cast<double>(steps_per_epoch_ * epochs_);
  Choice choice{.estimator = estimator_.at(static_cast<double>(step) / total)};
  choice.key = noise_.take(offsets_used(choice, batch.layout));
  const Outputs outputs = model_.forward(batch, choice, dropout_of(seed_, step));
  const Tensor loss = at::cross_entropy_loss(outputs.scores, batch.labels);
  optimiser_->zero_grad();
  loss.backward();
  const double value = loss.item<double>();
  require_finite(value, model_.named_parameters(), estimator_, rate_);
  sums_.grad_norm += clip_gradients();
  optimiser_->step();
  const int64_t n = batch.layout.rows();
  sums_.loss += value * static_cast<double>(n);
  sums_.right += at::eq(outputs.scores.argmax(1), batch.labels).sum().item<double>();
  sums_.examples += n;
  ++sums_.steps;
  sums_.seconds += now() - start;
  return {value, n};
}

/// Halves the learning rate when the accuracy has not grown for `patience` validations.
void Training::follow(double accuracy) {
  if (accuracy > best_accuracy_) {
    best_accuracy_ = accuracy;
    worse_ = 0;
    best_.clear();
    for (const auto& [name, parameter] : model_.named_parameters()) {
      best_.push_back(parameter.detach().clone());
    }
  } else if (++worse_ >= patience_) {
    worse_ = 0;
    rate_ /= 2;
    train::set_learning_rate(*optimiser_, rate_);
  }
}

MetricLine Training::training_line() const {
  MetricLine line;
  line.split = train::Split::train;
  line.n = sums_.examples;
  const auto n = static_cast<double>(sums_.examples);
  line.values = {{"loss", sums_.loss / n},
                 {"accuracy", sums_.right / n},
                 {"grad_norm", sums_.grad_norm / static_cast<double>(sums_.steps)},
                 {"lr", rate_}};
  return line;
}

/// What no two runs have alike, in a line of its own.
MetricLine Training::speed_line() const {
  MetricLine line;
  line.split = train::Split::train;
  line.n = sums_.examples;
  line.note = "cost";
  line.values = {{"examples_per_s", static_cast<double>(sums_.examples) / sums_.seconds}};
  return line;
}

/// The test set by the weights of the best validation, in which it leaves the model.
MetricLine Training::test_line() {
  {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < best_.size(); ++i) {
      model_.named_parameters()[i].second.detach().copy_(best_[i]);
    }
  }
  const Report report = report_on(examples_.test, evaluate(model_, examples_.test));
  MetricLine line;
  line.kind = train::Kind::eval;
  line.split = train::Split::test;
  line.n = report.all.examples;
  line.note = "weights of the best validation";
  line.values = {{"accuracy", report.all.accuracy()},
                 {"loss", report.all.loss / static_cast<double>(report.all.examples)},
                 {"span_f1", report.span_f1}};
  if (examples_.official > 0) {
    line.values.push_back({"accuracy_of_all", static_cast<double>(report.all.right) /
                                                  static_cast<double>(examples_.official)});
  }
  for (const auto& [most, score] : report.by_length) {
    line.values.push_back({"accuracy_to_" + std::to_string(most), score.accuracy()});
  }
  std::vector<double> accuracy, count;
  for (const Score& score : report.by_depth) {
    accuracy.push_back(score.accuracy());
    count.push_back(static_cast<double>(score.examples));
  }
  line.values.push_back({"accuracy_by_depth", accuracy});
  line.values.push_back({"examples_by_depth", count});
  return line;
}

train::EpochReport Training::end_epoch(int64_t number) {
  const std::vector<Verdict> verdicts = evaluate(model_, examples_.valid);
  const Report report = report_on(examples_.valid, verdicts);
  MetricLine valid;
  valid.kind = train::Kind::eval;
  valid.split = train::Split::valid;
  valid.n = report.all.examples;
  valid.values = {{"accuracy", report.all.accuracy()},
                  {"loss", report.all.loss / static_cast<double>(report.all.examples)},
                  {"span_f1", report.span_f1}};
  train::EpochReport result;
  result.lines = {training_line(), speed_line(), valid};
  result.selection = 1 - report.all.accuracy();
  sums_ = {};
  follow(report.all.accuracy());
  result.figures = trees(verdicts, number);
  if (number == epochs_ * reports_per_epoch_) result.lines.push_back(test_line());
  return result;
}

/// The induced trees of two expressions, after the reports 1, 2, 4 ... and the last.
std::vector<train::Figure> Training::trees(const std::vector<Verdict>& verdicts,
                                           int64_t report) const {
  const bool last = report == epochs_ * reports_per_epoch_;
  if ((report & (report - 1)) != 0 && !last) return {};
  std::vector<train::Figure> figures;
  for (size_t i = 0; i < verdicts.size() && figures.size() < 2; ++i) {
    const auto& [tokens, label] = examples_.valid[i];
    const bool worth =
        tokens.size() >= 10 && tokens.size() <= 20 && data::list_ops_depth(tokens) >= 3;
    if (!worth) continue;
    const std::string number = std::to_string(figures.size() + 1);
    figures.push_back({"tree-" + number + "-at-" + std::to_string(report) + ".txt",
                       "Tree that the model makes of a validation expression",
                       readable_text(tokens) + " = " + std::to_string(label) + ", the model says " +
                           std::to_string(verdicts[i].label) + "\n\n" +
                           drawn_tree(tokens, verdicts[i].spans)});
  }
  return figures;
}

void Training::store(Checkpoint& checkpoint) const {
  experiments::store(model_.named_parameters(), checkpoint);
  for (size_t i = 0; i < best_.size(); ++i) {
    checkpoint.tensors["best." + model_.named_parameters()[i].first] = best_[i];
  }
  train::store(*optimiser_, checkpoint, "optimiser.");
  checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
  checkpoint.numbers["rate"] = rate_;
  checkpoint.integers["worse"] = worse_;
  checkpoint.numbers["best.accuracy"] = best_accuracy_;
  checkpoint.integers["best.there"] = best_.empty() ? 0 : 1;
  checkpoint.numbers["sums.loss"] = sums_.loss;
  checkpoint.numbers["sums.right"] = sums_.right;
  checkpoint.numbers["sums.grad_norm"] = sums_.grad_norm;
  checkpoint.numbers["sums.seconds"] = sums_.seconds;
  checkpoint.integers["sums.examples"] = sums_.examples;
  checkpoint.integers["sums.steps"] = sums_.steps;
}

void Training::restore(const Checkpoint& checkpoint) {
  experiments::restore(model_.named_parameters(), checkpoint);
  best_.clear();
  if (checkpoint.integer("best.there") == 1) {
    for (const auto& [name, parameter] : model_.named_parameters()) {
      best_.push_back(checkpoint.tensor("best." + name).clone());
    }
  }
  train::restore(*optimiser_, checkpoint, "optimiser.");
  noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
  rate_ = checkpoint.number("rate");
  worse_ = checkpoint.integer("worse");
  best_accuracy_ = checkpoint.number("best.accuracy");
  sums_ = {checkpoint.number("sums.loss"),      checkpoint.number("sums.right"),
           checkpoint.number("sums.grad_norm"), checkpoint.number("sums.seconds"),
           checkpoint.integer("sums.examples"), checkpoint.integer("sums.steps")};
}

}  // namespace gradthru::experiments::listops
