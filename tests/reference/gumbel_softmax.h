#pragma once

#include "reference/gumbel_rao.h"
#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// The relaxed sample: softmax(logits / tau_b + G) or softmax((logits + G) / tau_b).
inline Row gumbel_softmax_surrogate(const Row& logits, const Settings& e, const Noise& noise) {
  Row perturbed(logits.size());
  for (size_t k = 0; k < logits.size(); ++k) {
    const double gumbel = noise.gumbel(static_cast<int64_t>(k));
    perturbed[k] = e.scaled_logits ? logits[k] / e.tau_b + gumbel : (logits[k] + gumbel) / e.tau_b;
  }
  return softmax(perturbed);
}

/// (1/tau_b) J(s) g; a given index is gumbel_rao with one inner draw.
inline Row gumbel_softmax(const Row& logits, int64_t index, const Row& g, const Settings& e,
                          const Noise& noise) {
  const Row s = noise.given ? gumbel_rao_surrogate(logits, index, e, noise, 0)
                            : gumbel_softmax_surrogate(logits, e, noise);
  return scaled(jacobian_times(s, g), 1 / e.tau_b);
}

/// The argument of the sigmoid: s = sigmoid(a / tau_b + L) or sigmoid((a + L) / tau_b).
inline double gumbel_softmax_binary_argument(double a, const Settings& e, const Noise& noise) {
  const double logistic = noise.logistic();
  return e.scaled_logits ? a / e.tau_b + logistic : (a + logistic) / e.tau_b;
}

/// s(1-s) g / tau_b
inline double gumbel_softmax_binary(double a, int b, double g, const Settings& e,
                                    const Noise& noise) {
  const double argument = noise.given ? gumbel_rao_binary_argument(a, b, e, noise, 0)
                                      : gumbel_softmax_binary_argument(a, e, noise);
  return sigmoid_slope(argument) * g / e.tau_b;
}

}  // namespace reference
