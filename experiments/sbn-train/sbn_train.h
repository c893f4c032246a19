#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// Training stochastic binary networks, fully connected and convolutional: README.md beside this
/// file has the recipe.
Experiment sbn_train();

}  // namespace gradthru::experiments
