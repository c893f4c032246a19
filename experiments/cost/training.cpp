#include "experiments/cost/training.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "bench/interleave.h"
#include "experiments/cost/statistics.h"
#include "train/streams.h"

namespace gradthru::experiments::cost {
namespace {

using train::Checkpoint;
using train::Kind;
using train::Metric;
using train::MetricLine;

constexpr double kMebibyte = 1 << 20;
constexpr double kBandTail = 0.1;  // the band is from 10 to 90 %

double mebibytes(int64_t bytes) {
  return static_cast<double>(bytes) / kMebibyte;
}

std::string machine() {
  std::ifstream file("/proc/cpuinfo");
  std::string model = "unknown CPU";
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    model = line.substr(colon + 2);
    break;
  }
  return model + ", threads: " + std::to_string(at::get_num_threads());
}

at::Tensor tensor_of(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble);
}

std::vector<double> values_of(const at::Tensor& tensor) {
  const double* first = tensor.const_data_ptr<double>();
  return {first, first + tensor.numel()};
}

/// The baseline that a candidate is, in the name of a ratio.
std::string ratio_name(const Candidate& candidate) {
  return "ratio_" + (candidate.plain ? "torch" : candidate.name);
}

}  // namespace

Measurement::Measurement(const RunPlan& plan, std::unique_ptr<Workload> workload)
    : workload_(std::move(workload)),
      seed_(plan.seed),
      warm_ups_(plan.config.integer("warm_ups")),
      repetitions_(plan.config.integer("repetitions")),
      turn_ms_(1e3 * plan.config.number("seconds") / static_cast<double>(repetitions_)) {
  for (Candidate& candidate : workload_->candidates(plan.estimator, plan.config.boolean("plain"))) {
    measured_.push_back({std::move(candidate)});
  }
}

/// Steps before any counts: first allocations, and which plain way is the fastest.
void Measurement::warm_up() {
  std::vector<double> fastest(measured_.size(), std::numeric_limits<double>::infinity());
  for (int64_t n = 0; n < warm_ups_; ++n) {
    for (size_t i = 0; i < measured_.size(); ++i) {
      const double ms = time_steps(*workload_, measured_[i].candidate, 0).step;
      fastest[i] = std::min(fastest[i], ms);
    }
  }
  keep_fastest_plain(fastest);
  for (Measured& one : measured_) one.memory = memory_of_step(*workload_, one.candidate);
  warm_ = true;
}

void Measurement::keep_fastest_plain(const std::vector<double>& fastest) {
  size_t best = measured_.size();
  for (size_t i = 0; i < measured_.size(); ++i) {
    if (!measured_[i].candidate.plain) continue;
    if (best == measured_.size() || fastest[i] < fastest[best]) best = i;
  }
  if (plain_.empty() && best < measured_.size()) plain_ = measured_[best].candidate.name;
  std::erase_if(measured_, [this](const Measured& one) { return is_left_out(one); });
}

/// A plain way that was slower than another.
bool Measurement::is_left_out(const Measured& one) const {
  return one.candidate.plain && one.candidate.name != plain_;
}

train::StepReport Measurement::step(int64_t step) {
  if (!warm_) warm_up();
  const size_t count = measured_.size();
  int64_t calls = 0;
  for (size_t i = 0; i < count; ++i) {
    Measured& one = measured_[(static_cast<size_t>(step) + i) % count];
    const StepTimes times = time_steps(*workload_, one.candidate, turn_ms_);
    one.forward.push_back(times.forward);
    one.backward.push_back(times.backward);
    one.step.push_back(times.step);
    if (&one == &measured_.front()) calls = times.calls;
  }
  return {measured_.front().step.back(), workload_->examples() * calls};
}

MetricLine Measurement::line_of(const Measured& measured) const {
  const bench::Spread step = bench::spread_of(measured.step, kBandTail);
  MetricLine line;
  line.split = train::Split::train;
  line.n = static_cast<int64_t>(measured.step.size());
  line.values = {{"step_ms", step.median},
                 {"fwd_ms", bench::spread_of(measured.forward).median},
                 {"bwd_ms", bench::spread_of(measured.backward).median},
                 {"peak_mib", mebibytes(measured.memory.peak)},
                 {"saved_mib", mebibytes(measured.memory.saved)},
                 {"step_ms_band", std::vector<double>{step.low, step.high}}};
  return line;
}

std::vector<Metric> Measurement::ratios() const {
  std::vector<Metric> values;
  for (size_t i = 1; i < measured_.size(); ++i) {
    const Ratio ratio =
        ratio_of(measured_.front().step, measured_[i].step, train::stream_seed(seed_, "bootstrap"));
    const std::string name = ratio_name(measured_[i].candidate);
    values.push_back({name, ratio.value});
    values.push_back({name + "_interval", std::vector<double>{ratio.low, ratio.high}});
  }
  return values;
}

/// A line of the estimator with its ratios; one of each baseline, by its name.
train::EpochReport Measurement::end_epoch(int64_t) {
  if (!warm_) warm_up();  // resumed when all repetitions were done
  std::vector<MetricLine> lines;
  for (const Measured& one : measured_) {
    lines.push_back(line_of(one));
    lines.back().kind = Kind::probe;
    lines.back().note = one.candidate.name;
  }
  MetricLine& line = lines.front();
  line.kind = Kind::train;
  line.note = machine();
  const std::vector<Metric> relative = ratios();
  line.values.insert(line.values.begin(), relative.begin(), relative.end());
  return {lines, std::get<double>(line.values.front().value)};
}

void Measurement::store(Checkpoint& checkpoint) const {
  checkpoint.texts["plain"] = plain_;
  for (const Measured& one : measured_) {
    const std::string name = "times." + one.candidate.name + ".";
    checkpoint.tensors[name + "forward"] = tensor_of(one.forward);
    checkpoint.tensors[name + "backward"] = tensor_of(one.backward);
    checkpoint.tensors[name + "step"] = tensor_of(one.step);
  }
}

void Measurement::restore(const Checkpoint& checkpoint) {
  plain_ = checkpoint.text("plain");
  for (Measured& one : measured_) {
    if (is_left_out(one)) continue;
    const std::string name = "times." + one.candidate.name + ".";
    one.forward = values_of(checkpoint.tensor(name + "forward"));
    one.backward = values_of(checkpoint.tensor(name + "backward"));
    one.step = values_of(checkpoint.tensor(name + "step"));
  }
}

}  // namespace gradthru::experiments::cost
