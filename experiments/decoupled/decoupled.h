#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// Two temperatures, for the sample and for its gradient, on several tasks: README.md beside this
/// file has the recipe.
Experiment decoupled_experiment();

}  // namespace gradthru::experiments
