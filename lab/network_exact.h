#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "gradthru/estimator.h"
#include "lab/network.h"

// What needs no random numbers in a binary network: its exact gradient and the exact mean of every
// estimator that is a function of the sampled path, both by dynamic programming over the layers.
namespace gradthru::lab {

/// Whether an estimate is a function of the sampled path alone, drawn by the network's own law, by
/// a rule how a layer hands a signal to its preactivations and to the layer below: psa, st,
/// hard_st, zgr, darn, and reinforce with a constant baseline, all at temperature 1.
bool has_path_moments(const Estimator& estimator);

struct NetworkGradient {
  double value = 0;                  ///< the objective E
  std::vector<NetworkLayer> layers;  ///< gradients, as the layers of the network
};

/// The objective and its gradient: sums over the states of each layer, 2^n x 2^n numbers at once.
NetworkGradient exact_gradient(const BinaryNetwork& network);

/// One estimate: a path for each point, averaged over the points.
struct NetworkMoments {
  std::vector<NetworkLayer> mean;  ///< over all paths, as the layers of the network
  std::vector<double> variance;    ///< tr V of each layer's weights and bias
};

/// Mean and variance of the gradient that the rule makes of sampled paths. The head's gradient is
/// that of the loss at the sample.
/// Errors: InvalidInput where the estimator has_path_moments() not.
NetworkMoments path_moments(const BinaryNetwork& network, const Estimator& rule);

}  // namespace gradthru::lab
