#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// The categorical VAE on grey images: README.md beside this file has the recipe.
Experiment vae();

}  // namespace gradthru::experiments
