#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// The importance-weighted test bound of a categorical VAE: README.md beside this file has the
/// recipe.
Experiment vae_iw();

}  // namespace gradthru::experiments
