#include "experiments/decoupled/training.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "experiments/parameters.h"
#include "gradthru/categorical.h"
#include "lab/gap.h"
#include "train/optimiser.h"
#include "train/streams.h"

namespace gradthru::experiments::decoupled {
namespace {

using at::Tensor;
using train::Checkpoint;
using train::MetricLine;

constexpr int64_t kEvaluationBlock = 500;  // images at once

std::unique_ptr<Task> make_task(const RunPlan& plan, const SplitImages& images) {
  begin_init_stream(plan.seed);
  return task(plan.config.text("task"))
      .make({.train = images.train,
             .height = images.height,
             .width = images.width,
             .classes = images.classes,
             .hidden = plan.config.integers("model.hidden"),
             .kl_at_tau_f = plan.config.text("kl_tau") == "tau_f"});
}

}  // namespace

Training::Training(const RunPlan& plan, SplitImages images)
    : estimator_(plan.estimator),
      seed_(plan.seed),
      epochs_(plan.config.integer("epochs")),
      steps_per_epoch_(plan.config.integer("steps_per_epoch")),
      samples_(plan.config.integer("eval.samples")),
      select_(plan.config.text("select")),
      rate_(plan.config.number("optimiser.lr")),
      gap_(plan.config.boolean("gap")),
      gap_images_(plan.config.integer("gap_images")),
      gap_draws_(plan.config.integer("gap_draws")),
      images_(std::move(images)),
      batches_(train::stream_seed(plan.seed, "order"), images_.train.size(),
               plan.config.integer("batch_size")),
      binary_(task(plan.config.text("task")).binary),
      task_(make_task(plan, images_)),
      noise_(train::stream_key(plan.seed, "noise")) {
  if (steps_per_epoch_ == 0) steps_per_epoch_ = batches_.per_pass();
  const auto& gap_epochs = plan.config.integers("gap_epochs");
  gap_epochs_.insert(gap_epochs.begin(), gap_epochs.end());
  gap_epochs_.insert(epochs_);
  const auto half = [&](NamedTensors parameters, double rate) {
    return Half{parameters, train::make_optimiser(plan.config.text("optimiser.name"),
                                                  tensors_of(parameters), {.lr = rate})};
  };
  encoder_ = half(task_->encoder(), rate_ * plan.config.number("encoder_lr_scale"));
  decoder_ = half(task_->decoder(), rate_);
}

NamedTensors Training::parameters() const {
  NamedTensors all = encoder_.parameters;
  all.insert(all.end(), decoder_.parameters.begin(), decoder_.parameters.end());
  return all;
}

train::StepReport Training::step(int64_t step) {
  const LabelledImages batch = images_.train.select(batches_.at(step));
  const double total = static_cast<double>(steps_per_epoch_ * epochs_);
  const Estimator e = estimator_.at(static_cast<double>(step) / total);
  const Tensor loss = task_->loss(batch, e, noise_.take(task_->offsets_used(e)));
  for (Half* half : {&encoder_, &decoder_}) half->optimiser->zero_grad();
  loss.backward();
  const double value = loss.item<double>();
  require_finite(value, parameters(), estimator_, rate_);
  for (Half* half : {&encoder_, &decoder_}) half->optimiser->step();
  loss_.add(value, batch.size());
  return {value, batch.size()};
}

train::EpochReport Training::end_epoch(int64_t epoch) {
  MetricLine training;
  training.split = train::Split::train;
  training.n = loss_.count;
  training.values = {{"loss", loss_.value()}};
  loss_ = {};
  train::EpochReport report;
  report.lines = {training, evaluate(images_.valid, train::Split::valid),
                  evaluate(images_.test, train::Split::test)};
  report.selection = std::get<double>(report.lines[1].values[0].value);
  if (epoch == epochs_) {
    Product product = task_->product(images_.test);
    for (auto& [name, value] : product.values) report.lines[2].values.push_back({name, value});
    report.files = std::move(product.files);
  }
  for (auto& line : gap_lines(epoch)) report.lines.push_back(std::move(line));
  return report;
}

/// The temperatures of kModes.
std::array<double, 3> Training::taus() const {
  return {traits(estimator_.at(1)).sampling_tau, 1, 0};
}

/// The task's metrics over all images, from the stream `eval`: the same draws every time.
Tensor Training::means(const LabelledImages& images, double tau) const {
  const Estimator e = estimator_.at(1);
  const int64_t samples = tau == 0 ? 1 : samples_;
  Tensor sums = at::zeros({static_cast<int64_t>(task_->metrics().size())}, at::kDouble);
  Key key = train::stream_key(seed_, "eval");
  for (int64_t s = 0; s < samples; ++s) {
    const Key of_sample = key.take(task_->offsets_used(st()));
    for (int64_t first = 0; first < images.size(); first += kEvaluationBlock) {
      const auto part = images.range(first, std::min(kEvaluationBlock, images.size() - first));
      const Tensor mean = task_->evaluate(part, e, tau, of_sample, first).to(at::kDouble);
      sums += mean * static_cast<double>(part.size());
    }
  }
  return sums / static_cast<double>(images.size() * samples);
}

MetricLine Training::evaluate(const LabelledImages& images, train::Split split) const {
  const at::NoGradGuard no_grad;
  const auto taus = this->taus();
  std::array<Tensor, kModes.size()> results;
  for (size_t m = kModes.size(); m-- > 0;) {  // tau_f last: it may be one of the others
    for (size_t other = m + 1; other < kModes.size(); ++other) {
      if (taus[other] == taus[m]) results[m] = results[other];
    }
    if (!results[m].defined()) results[m] = means(images, taus[m]);
  }
  MetricLine line;
  line.kind = train::Kind::eval;
  line.split = split;
  line.n = images.size();
  const auto names = task_->metrics();
  for (size_t i = 0; i < names.size(); ++i) {
    for (size_t m = 0; m < kModes.size(); ++m) {
      const double value = results[m][static_cast<int64_t>(i)].item<double>();
      if (i == 0 && kModes[m] == select_) line.values.insert(line.values.begin(), {"loss", value});
      line.values.push_back({names[i] + "_" + kModes[m], value});
    }
  }
  return line;
}

/// The gradient gap of the mean loss of the first training images at their logits: mean and
/// deviation over draws, absolute and relative to the length of the estimator's gradient.
std::vector<MetricLine> Training::gap_lines(int64_t epoch) const {
  if (!gap_ || !gap_epochs_.contains(epoch)) return {};
  const int64_t n = std::min(gap_images_, images_.train.size());
  const Estimator e = estimator_.at(static_cast<double>(epoch) / static_cast<double>(epochs_));
  const auto problem = task_->problem(images_.train.range(0, n).images);
  Key key = train::stream_key(seed_, "probe");
  // A bit's two logits have opposite gradients: together they are sqrt(2) times as long as its own.
  const double scale = static_cast<double>(n) * (binary_ ? std::sqrt(2) : 1);
  std::vector<Tensor> gaps, relative;
  for (int64_t draw = 0; draw < gap_draws_; ++draw) {
    const auto found = lab::gaps_and_gradients(*problem, e, 1, key.take(gradthru::offsets_used(e)));
    gaps.push_back(found.gap.to(at::kDouble) / scale);
    relative.push_back((found.gap / found.gradient).to(at::kDouble));
  }
  MetricLine line;
  line.kind = train::Kind::probe;
  line.split = train::Split::train;
  line.n = n;
  const Tensor all = at::stack({at::cat(gaps), at::cat(relative)}), mean = all.mean(1);
  const Tensor sd = all.std(1, /*unbiased=*/true);
  const char* names[] = {"gap", "relative_gap"};
  for (int i = 0; i < 2; ++i) {
    line.values.push_back({names[i], mean[i].item<double>()});
    line.sd.push_back({names[i], sd[i].item<double>()});
  }
  line.note = to_string(e);
  return {line};
}

void Training::store(Checkpoint& checkpoint) const {
  experiments::store(parameters(), checkpoint);
  train::store(*encoder_.optimiser, checkpoint, "encoder_optimiser.");
  train::store(*decoder_.optimiser, checkpoint, "decoder_optimiser.");
  checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
  experiments::store(loss_, checkpoint, "loss");
}

void Training::restore(const Checkpoint& checkpoint) {
  experiments::restore(parameters(), checkpoint);
  train::restore(*encoder_.optimiser, checkpoint, "encoder_optimiser.");
  train::restore(*decoder_.optimiser, checkpoint, "decoder_optimiser.");
  noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
  experiments::restore(loss_, checkpoint, "loss");
}

}  // namespace gradthru::experiments::decoupled
