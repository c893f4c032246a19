#pragma once

#include <cstdint>
#include <vector>

#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "lab/draw_statistics.h"
#include "lab/network.h"
#include "lab/network_exact.h"

// How near an estimator's gradient of a binary network is to the exact one, layer by layer. One
// estimate is one draw of the noise for each data point, averaged over the points; the vector of a
// layer is its weights and its bias.
namespace gradthru::lab {

/// More paths of all points than these are not followed: what could be enumerated is then drawn.
inline constexpr double kMostPaths = 1 << 24;

struct NetworkFidelityOptions {
  int64_t samples = 4096;  ///< of an estimator that is drawn
  bool sampled = false;    ///< draw what could be enumerated
  bool cosines = false;    ///< draw what is enumerated, too, for the cosines of by_samples
  Key key{.seed = 0};      ///< the same for every estimator: common random numbers
};

struct LayerFidelity {
  double gradient_norm;  ///< |g*|
  at::Tensor mean;       ///< of the estimates: weights and bias in one vector
  Interval relative_bias;
  Interval cosine;      ///< cos(mean, g*)
  double variance;      ///< tr V
  double squared_bias;  ///< of the relative bias, without the noise of the mean; may be negative
  std::vector<AtSamples> by_samples;  ///< M = 1 .. 9, 10 .. 90, ...
};

struct NetworkFidelity {
  Estimator estimator;
  bool enumerated;  ///< exact sums over all paths, or nothing random; else `samples` were drawn
  int64_t samples;  ///< drawn, also for the cosines alone
  std::vector<LayerFidelity> layers;  ///< from the input to the head
};

struct NetworkMeasurement {
  NetworkGradient exact;
  std::vector<NetworkFidelity> results;
};

/// Refuses, in one line, estimators that have no form for this network; of two points of it, which
/// is quick. Errors: InvalidInput.
void check_estimators(const BinaryNetwork& network, const std::vector<Estimator>& estimators);

/// Measures estimators, in their order: by enumeration where one has_path_moments() and there are
/// at most kMostPaths, else by drawing.
///
/// reinforce with baseline=moving has the baseline that it moves to, the expected loss. Estimates
/// are those of loss() in nn/binary_sequential.h with the head's gradient at the sample, not
/// averaged over flips. Determinism: draw s uses the offsets of the key from s times what one
/// takes, whatever the threads. Errors: InvalidInput as check_estimators(); samples < kFewestDraws
/// where there are draws.
NetworkMeasurement measure(const BinaryNetwork& network, const std::vector<Estimator>& estimators,
                           const NetworkFidelityOptions& options = {});

/// 1 .. 9, 10 .. 90, 100 .. up to `most`.
std::vector<int64_t> decades(int64_t most);

}  // namespace gradthru::lab
