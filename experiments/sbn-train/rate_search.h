#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace gradthru::experiments {

/// A learning rate that was tried.
struct Trial {
  double log10_rate = 0;
  double score = 0;  ///< the smaller the better; may be infinite or NaN: the training diverged
};

/// A bounded search for the logarithm of a learning rate.
struct RateSearch {
  int64_t evaluations = 0;
  double low = -6, high = 0;  ///< of log10
};

/// What Brent's method wants to try after these trials, made by it in this order; none when it has
/// had its evaluations, or before that if it has found a minimum to seven digits, which no noisy
/// score lets it. A pure function: a search goes on wherever it was left.
///
/// Scores of kHopeless and more, and those that are no numbers, count as kHopeless and a slope that
/// leads to smaller rates: a flat region of diverging rates neither stops nor confuses the method.
std::optional<double> next_trial(const RateSearch& search, const std::vector<Trial>& trials);

inline constexpr double kHopeless = 50;  // nats

/// The trial with the smallest finite score; none where all diverged.
std::optional<Trial> best_trial(const std::vector<Trial>& trials);

}  // namespace gradthru::experiments
