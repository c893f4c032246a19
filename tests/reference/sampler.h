#pragma once

#include <cmath>
#include <cstdint>

#include "reference/settings.h"
#include "reference/softmax.h"

// How an index or a bit is drawn; ties go to the lowest index.
namespace reference {

inline int64_t argmax(const Row& values) {
  int64_t best = 0;
  for (int64_t k = 1; k < size(values); ++k)
    if (values[static_cast<size_t>(k)] > values[static_cast<size_t>(best)]) best = k;
  return best;
}

/// The smallest k whose running sum exceeds u times the total; strictly, so that a category of
/// weight 0 is never drawn.
inline int64_t inverse_cdf(const Row& logits, double tau_f, double u) {
  if (tau_f == 0) return argmax(logits);
  const double top = *std::max_element(logits.begin(), logits.end());
  Row weights(logits.size());
  double total = 0;
  for (size_t k = 0; k < logits.size(); ++k)
    total += weights[k] = std::exp(logits[k] / tau_f - top / tau_f);
  double running = 0;
  int64_t last = 0;
  for (int64_t k = 0; k < size(weights); ++k) {
    running += weights[static_cast<size_t>(k)];
    if (running > u * total) return k;
    if (weights[static_cast<size_t>(k)] > 0) last = k;
  }
  return last;
}

/// The Gumbel-argmax of gumbel_softmax in either convention.
inline int64_t gumbel_argmax(const Row& logits, const Settings& e, const Noise& noise) {
  Row perturbed(logits.size());
  for (size_t k = 0; k < logits.size(); ++k) {
    const double gumbel = noise.gumbel(static_cast<int64_t>(k));
    perturbed[k] = e.scaled_logits ? logits[k] / e.tau_f + gumbel : logits[k] + gumbel;
  }
  return argmax(perturbed);
}

/// The temperature of the law of the sample: scaled_sum makes tau_f inert.
inline double sampling_tau(const Settings& e, bool has_noise_option) {
  return has_noise_option && !e.scaled_logits ? 1 : e.tau_f;
}

/// b = 1[a / tau + L > 0]
inline int sample_bit(double a, double sampling_tau, double logistic) {
  return a / sampling_tau + logistic > 0 ? 1 : 0;
}

}  // namespace reference
