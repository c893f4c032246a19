#pragma once

#include <cstdint>
#include <vector>

// What repetitions say about a time.
namespace gradthru::experiments::cost {

/// A ratio and the ends of its 95 % bootstrap interval.
struct Ratio {
  double value = 0, low = 0, high = 0;
};

/// The median of a[i] / b[i], repetition by repetition, so that what slows the machine for a while
/// slows both; the interval from 1,000 resamplings of the repetitions.
///
/// Determinism: a pure function of its arguments.
/// Errors: std::logic_error for empty lists and lists of different lengths.
Ratio ratio_of(const std::vector<double>& a, const std::vector<double>& b, uint64_t seed);

}  // namespace gradthru::experiments::cost
