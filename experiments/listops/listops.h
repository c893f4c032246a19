#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// Unsupervised parsing of ListOps by a Gumbel Tree-LSTM: README.md beside this file.
Experiment listops_experiment();

}  // namespace gradthru::experiments
