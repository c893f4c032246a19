#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// The studies of the gapped straight-through estimator: README.md beside this file has the recipe.
Experiment vae_gst();

}  // namespace gradthru::experiments
