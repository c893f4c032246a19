#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// Polynomial programming: minimises E[(1/L) sum over l of |v(z_l) - c|^p] over the logits of L
/// independent variables. Source: ReinMax, arXiv 2304.08612; recipe and numbers in the README
/// beside this file.
Experiment poly();

}  // namespace gradthru::experiments
