#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "experiments/cost/measure.h"
#include "experiments/cost/workload.h"
#include "experiments/experiment.h"
#include "train/session.h"

namespace gradthru::experiments::cost {

/// A measurement that the session runs like a training: an update is one repetition, in which every
/// candidate has its turn. Times so far travel in the checkpoint; memory is measured anew.
class Measurement : public train::Training {
 public:
  Measurement(const RunPlan& plan, std::unique_ptr<Workload> workload);

  int64_t steps_per_epoch() const override { return repetitions_; }
  int64_t epochs() const override { return 1; }
  train::StepReport step(int64_t step) override;
  train::EpochReport end_epoch(int64_t epoch) override;
  void store(train::Checkpoint& checkpoint) const override;
  void restore(const train::Checkpoint& checkpoint) override;

 private:
  /// A candidate and what was measured of it.
  struct Measured {
    Candidate candidate;
    StepMemory memory{};
    std::vector<double> forward{}, backward{}, step{};  // ms, of each repetition
  };

  void warm_up();
  void keep_fastest_plain(const std::vector<double>& fastest);
  bool is_left_out(const Measured& one) const;
  train::MetricLine line_of(const Measured& measured) const;
  std::vector<train::Metric> ratios() const;

  std::unique_ptr<Workload> workload_;
  uint64_t seed_;
  int64_t warm_ups_, repetitions_;
  double turn_ms_;                  // at least, for a candidate in a repetition
  std::vector<Measured> measured_;  // the estimator first
  std::string plain_;               // the plain way that is timed, once that is known
  bool warm_ = false;
};

}  // namespace gradthru::experiments::cost
