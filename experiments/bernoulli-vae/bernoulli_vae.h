#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// The VAE with 200 binary latents: README.md beside this file has the recipe.
Experiment bernoulli_vae();

}  // namespace gradthru::experiments
