#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// `vae-probe`: trains a categorical VAE as `vae` does and measures, before the first epoch and
/// after each, how near the estimators come to the exact gradient of the reconstruction loss.
/// README.md beside this file has the recipe.
Experiment vae_probe_experiment();

}  // namespace gradthru::experiments
