#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// Time and memory of a training step by each estimator, beside the same step without one:
/// README.md beside this file.
Experiment cost_experiment();

}  // namespace gradthru::experiments
