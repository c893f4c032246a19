#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "lab/draw_statistics.h"
#include "lab/problem.h"

// How near an estimator's gradient is to the exact one. Vectors are the stacked [B, L, K]
// gradients; g* is exact, g one estimate, g_M the mean of M, mean the mean of all, V their
// covariance.
namespace gradthru::lab {

struct FidelityOptions {
  int64_t draws = 4096;       ///< of an estimator that is sampled
  bool sampled = false;       ///< also sample what could be enumerated
  bool gradient_gap = false;  ///< also measure it, by drawing, where there is one
  /// Temperature of the law whose gradient is g*; not set: of the law that the method samples.
  std::optional<double> target_tau{};
  Key key{.seed = 0};  ///< the same for every estimator: common random numbers
};

struct Fidelity {
  Estimator estimator;
  double tau_f;       ///< of the law that is sampled
  double target_tau;  ///< of the law of g*
  bool enumerated;    ///< exact sums over all samples; else `draws` were drawn
  int64_t draws;
  at::Tensor exact_gradient;  ///< g*, [B, L, K]
  at::Tensor mean;            ///< [B, L, K]
  Interval relative_bias;     ///< |mean - g*| / |g*|
  Interval cosine;            ///< cos(mean, g*)
  double variance;            ///< tr V
  double relative_std;        ///< sqrt(tr V) / |mean|
  double standard_error;      ///< sqrt(tr V / draws): what the mean is off by for lack of draws
  /// (|mean - g*|^2 - tr V / draws) / |g*|^2: the squared relative bias without the noise of the
  /// mean; may be negative.
  double squared_bias;
  /// Mean length of (grad f at the hard sample, through the relaxed one) - (grad of f at the
  /// relaxed one), over |g*|, of an estimator that has a relaxed sample; see gap.h.
  std::optional<Interval> gradient_gap;
  std::vector<AtSamples> by_samples;  ///< M = 1, 4, 16, ...
};

/// Measures estimators, in their order: by enumeration where one is a function of one sample, else
/// by drawing.
/// Errors: InvalidInput as exact_gradient() and estimates(); draws < 64.
std::vector<Fidelity> measure(const Problem& problem, const std::vector<Estimator>& estimators,
                              const FidelityOptions& options = {});

inline Fidelity measure(const Problem& problem, const Estimator& estimator,
                        const FidelityOptions& options = {}) {
  return measure(problem, std::vector<Estimator>{estimator}, options).front();
}

}  // namespace gradthru::lab
