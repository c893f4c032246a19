#pragma once

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// (1/2 tau_f) [J(pi_f) + (D - pi_f)(D - pi_f)^T] g
inline Row zgr(const Row& logits, int64_t index, const Row& g, const Settings& e, const Noise&) {
  const Row probs = softmax(logits, e.tau_f);
  const Row residual = plus(onehot(index, size(logits)), probs, -1);
  const Row sum = plus(jacobian_times(probs, g), residual, dot(residual, g));
  return scaled(sum, 0.5 / e.tau_f);
}

/// half the probability of the state not drawn, times g / tau_f
inline double zgr_binary(double a, int b, double g, const Settings& e, const Noise&) {
  return 0.5 * sigmoid(-(2 * b - 1) * a / e.tau_f) * g / e.tau_f;
}

}  // namespace reference
