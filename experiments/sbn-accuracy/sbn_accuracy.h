#pragma once

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// `sbn-accuracy`: how near one estimator's gradient of a small stochastic binary network is to the
/// exact one, layer by layer, at chosen epochs of a training by REINFORCE, or in a network from a
/// file. Source: PSA, arXiv 2006.03143; recipe and numbers in the README beside this file.
Experiment sbn_accuracy();

}  // namespace gradthru::experiments
