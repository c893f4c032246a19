#include "experiments/sbn-train/training.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>
#include <utility>

#include "experiments/image_grid.h"
#include "experiments/parameters.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using at::Tensor;
using train::Checkpoint;
using train::Kind;
using train::MetricLine;
using train::Split;

constexpr int64_t kEvaluationBlock = 64;  // examples at once: their units stay in the cache

SbnShape shape_of(const train::Config& config, const Tensor& images) {
  return {.net = config.text("net"),
          .hidden = config.integers("fc.hidden"),
          .width = config.number("width"),
          .channels = images.size(1),
          .side = images.size(2)};
}

/// PyTorch's initialisation, then normalised on training images as they are in the file.
nn::StochasticBinarySequential initial_network(const RunPlan& plan, const SbnShape& shape,
                                               const LabelledImages& train) {
  begin_init_stream(plan.seed);
  auto net = make_network(shape);
  const int64_t count = std::min(plan.config.integer("init_images"), train.size());
  const bool mean = plan.config.text("init") == "mean";
  net->normalise(network_input(shape, train.range(0, count).images),
                 mean ? nn::Propagation::ap1 : nn::Propagation::tanh);
  const at::NoGradGuard no_grad;
  const double gain = plan.config.number("init_gain");
  for (const auto& layer : net->layers()) {
    layer->weight.mul_(gain);
    layer->bias.mul_(gain);
  }
  return net;
}

Learner::Options learner_options(const RunPlan& plan) {
  return {.estimator = plan.estimator,
          .momentum = plan.config.number("optimiser.momentum"),
          .clip = plan.config.number("optimiser.clip"),
          .baseline_decay = plan.config.number("baseline_decay"),
          .one_flip_average = plan.config.boolean("one_flip_average"),
          .squashed_head = plan.config.boolean("squashed_head"),
          .noise_seed = train::stream_seed(plan.seed, "noise")};
}

double wall_ms() {
  using std::chrono::steady_clock;
  return std::chrono::duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

double cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

nn::NetworkEvaluation evaluate_in_blocks(const nn::StochasticBinarySequential& net,
                                         const SbnShape& shape, const LabelledImages& images,
                                         int64_t n, nn::NetworkOptions options) {
  nn::NetworkEvaluation all;
  for (int64_t start = 0; start < images.size(); start += kEvaluationBlock) {
    const auto part = images.range(start, std::min(kEvaluationBlock, images.size() - start));
    options.batch0 = start;
    all.add(net->evaluate(network_input(shape, part.images), part.labels, n, options));
  }
  return all;
}

MetricLine event(const std::string& note, std::vector<train::Metric> values) {
  MetricLine line;
  line.kind = Kind::event;
  line.values = std::move(values);
  line.note = note;
  return line;
}

}  // namespace

SbnTraining::SbnTraining(const RunPlan& plan, SbnData data)
    : seed_(plan.seed),
      epochs_(plan.config.integer("epochs")),
      steps_per_epoch_(plan.config.integer("steps_per_epoch")),
      samples_(plan.config.integer("eval.samples")),
      curve_(plan.config.integer("eval.curve")),
      one_flip_average_(plan.config.boolean("eval.one_flip_average")),
      shape_(shape_of(plan.config, data.train.images)),
      data_(std::move(data)),
      augment_seed_(train::stream_seed(plan.seed, "augment")),
      batches_(train::stream_seed(plan.seed, "order"), data_.train.size(),
               plan.config.integer("batch_size")),
      learner_(initial_network(plan, shape_, data_.train), learner_options(plan)),
      search_{.evaluations = plan.config.integer("lr_search.evaluations")},
      trial_epochs_(plan.config.integer("lr_search.epochs")) {
  if (steps_per_epoch_ == 0) steps_per_epoch_ = batches_.per_pass();
  const bool augmented = shape_.net != "fc" && plan.config.boolean("augment");
  if (!augmented) data_.augmentation = {};
  learner_.restart(plan.config.number("optimiser.lr"));
}

/// Learning rates are tried one after another, an update at a time, from the same weights, with the
/// same batches and noise; then training begins with the best.
train::Preparation SbnTraining::prepare() {
  if (search_.evaluations == 0) return {};
  train::Preparation piece{.done = false};
  if (!trial_) {
    if (const auto wanted = next_trial(search_, trials_)) {
      trial_ = RunningTrial{*wanted};
      learner_.restart(std::pow(10, *wanted));
    } else {
      const auto best = best_trial(trials_);
      if (!best) throw train::Diverged("no learning rate that was tried gives a finite loss");
      learner_.restart(std::pow(10, best->log10_rate));
      piece.lines.push_back(event("learning rate chosen", {{"lr", learner_.rate()}}));
      piece.done = true;
    }
  } else if (const auto score = advance_trial()) {
    trials_.push_back({trial_->log10_rate, *score});
    trial_.reset();
  }
  std::vector<MetricLine> trials;
  for (; told_ < trials_.size(); ++told_) {
    const Trial& trial = trials_[told_];
    trials.push_back(
        event("learning rate tried", {{"log10_lr", trial.log10_rate}, {"score", trial.score}}));
  }
  piece.lines.insert(piece.lines.begin(), trials.begin(), trials.end());
  return piece;
}

std::optional<double> SbnTraining::advance_trial() {
  const int64_t per_epoch = steps_per_epoch_, last = per_epoch * trial_epochs_;
  if (trial_->step % per_epoch == 0) trial_->loss = {};
  try {
    int64_t examples = 0;
    const double loss = update(trial_->step, &examples);
    trial_->loss.add(loss, examples);
  } catch (const train::Diverged&) {
    return std::numeric_limits<double>::infinity();
  }
  if (++trial_->step < last) return std::nullopt;
  return trial_->loss.value();
}

double SbnTraining::update(int64_t step, int64_t* examples) {
  const LabelledImages seen = batch(step);
  *examples = seen.size();
  const double total = static_cast<double>(steps_per_epoch_ * epochs_);
  return learner_.update(seen.images, seen.labels, static_cast<double>(step) / total);
}

train::StepReport SbnTraining::step(int64_t step) {
  if (!peak_bytes_) {
    const LabelledImages seen = batch(step);
    peak_bytes_ = learner_.peak_bytes(seen.images, seen.labels);
  }
  const double wall = wall_ms(), cpu = cpu_ms();
  int64_t examples = 0;
  const double loss = update(step, &examples);
  wall_ms_.add(wall_ms() - wall, 1);
  cpu_ms_.add(cpu_ms() - cpu, 1);
  loss_.add(loss, examples);
  return {loss, examples};
}

LabelledImages SbnTraining::batch(int64_t step) {
  const auto seen = data_.train.select(batches_.at(step));
  const Tensor images = augment(seen.images, data_.augmentation, augment_seed_, step);
  return {network_input(shape_, images), seen.labels};
}

train::EpochReport SbnTraining::end_epoch(int64_t epoch) {
  MetricLine training;
  training.split = Split::train;
  training.n = loss_.count;
  training.values = {{"loss", loss_.value()}, {"lr", learner_.rate()}};
  MetricLine valid = evaluate(data_.valid, Split::valid), test = evaluate(data_.test, Split::test);
  if (epoch == epochs_ && curve_ > 0) test.values.push_back({"acc_ens_of_n", accuracy_of_n()});
  const MetricLine cost = costs();
  loss_ = wall_ms_ = cpu_ms_ = {};
  const double selection = std::get<double>(valid.values[0].value);
  std::vector<train::Figure> figures;
  if (epoch == epochs_ && shape_.net == "fc" && shape_.channels == 1) figures = {filters()};
  return {{training, valid, test, cost}, selection, figures};
}

/// The weights of the first units, each as an image: mid-grey is zero.
train::Figure SbnTraining::filters() const {
  constexpr int64_t kColumns = 16, kFilters = 96;
  Tensor weights = learner_.net()->layers().front()->weight.detach();
  weights = weights.narrow(0, 0, std::min(kFilters, weights.size(0))).to(at::kFloat);
  const Tensor most = weights.abs().amax(1, true).clamp_min(1e-30);
  return {"filters.png",
          "What the first units look for: their weights from the pixels, each unit on its own "
          "scale; grey is zero, white positive.",
          image_grid((weights / most + 1) / 2, kColumns)};
}

/// What no two runs have alike, in a line of its own.
MetricLine SbnTraining::costs() const {
  MetricLine line;
  line.split = Split::train;
  line.n = wall_ms_.count;
  line.note = "cost";
  line.values = {{"step_ms", wall_ms_.value()},
                 {"step_cpu_ms", cpu_ms_.value()},
                 {"peak_mib", static_cast<double>(peak_bytes_.value_or(0)) / (1 << 20)}};
  return line;
}

/// The network of sampled units, whatever it was trained by; the same draws every time.
MetricLine SbnTraining::evaluate(const LabelledImages& images, Split split) const {
  const auto result = evaluate_in_blocks(
      learner_.net(), shape_, images, samples_,
      {.one_flip_average = one_flip_average_, .key = train::stream_key(seed_, "eval")});
  MetricLine line;
  line.kind = Kind::eval;
  line.split = split;
  line.n = result.examples;
  line.values = {{"nll", result.loss},
                 {"acc1", result.acc1},
                 {"acc_ens", result.acc_ens.back()},
                 {"entropy_bits", result.mean_entropy()},
                 {"layer_entropy_bits", result.entropy}};
  return line;
}

std::vector<double> SbnTraining::accuracy_of_n() const {
  return evaluate_in_blocks(learner_.net(), shape_, data_.test, curve_,
                            {.one_flip_average = false, .key = train::stream_key(seed_, "eval")})
      .acc_ens;
}

void SbnTraining::store(Checkpoint& checkpoint) const {
  learner_.store(checkpoint);
  checkpoint.integers["search.trials"] = static_cast<int64_t>(trials_.size());
  for (size_t i = 0; i < trials_.size(); ++i) {
    const std::string name = "search." + std::to_string(i) + ".";
    checkpoint.numbers[name + "log10_rate"] = trials_[i].log10_rate;
    checkpoint.numbers[name + "score"] = trials_[i].score;
  }
  experiments::store(loss_, checkpoint, "loss");
  experiments::store(wall_ms_, checkpoint, "wall_ms");
  experiments::store(cpu_ms_, checkpoint, "cpu_ms");
}

void SbnTraining::restore(const Checkpoint& checkpoint) {
  learner_.restore(checkpoint);
  trials_.clear();
  for (int64_t i = 0; i < checkpoint.integer("search.trials"); ++i) {
    const std::string name = "search." + std::to_string(i) + ".";
    trials_.push_back({checkpoint.number(name + "log10_rate"), checkpoint.number(name + "score")});
  }
  experiments::restore(loss_, checkpoint, "loss");
  experiments::restore(wall_ms_, checkpoint, "wall_ms");
  experiments::restore(cpu_ms_, checkpoint, "cpu_ms");
}

}  // namespace gradthru::experiments
