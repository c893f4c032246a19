#pragma once

#include <cstdint>

#include "experiments/cost/workload.h"

namespace gradthru::experiments::cost {

/// Milliseconds of a step. The step has clearing of gradients and the update in it.
struct StepTimes {
  double forward = 0, backward = 0, step = 0;
  int64_t calls = 0;
};

/// The mean of steps one after the other: one, and as many more as fill these milliseconds.
StepTimes time_steps(Workload& workload, const Candidate& candidate, double at_least_ms);

/// Bytes of a step, by Torch's allocator.
struct StepMemory {
  int64_t peak = 0;   ///< at most at once, above what lies there between two steps
  int64_t saved = 0;  ///< what the graph alone keeps from the forward to the backward pass
};

StepMemory memory_of_step(Workload& workload, const Candidate& candidate);

}  // namespace gradthru::experiments::cost
