#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

#include "lab/network.h"

// What needs no random numbers in a binary network: its exact gradient and the exact mean of every
// estimator that is a function of the sampled path, both by dynamic programming over the layers.
namespace gradthru::lab {

/// Estimators that are a function of the path alone: how a layer hands a signal to its
/// preactivations and to the layer below. reinforce has no baseline.
enum class PathRule { psa, st, hard_st, zgr, darn, reinforce };

/// Errors: InvalidInput with the known names.
PathRule parse_path_rule(std::string_view name);
std::string_view to_string(PathRule rule);

/// Weights and bias in one vector.
at::Tensor flat(const NetworkLayer& layer);

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
NetworkMoments path_moments(const BinaryNetwork& network, PathRule rule);

}  // namespace gradthru::lab
