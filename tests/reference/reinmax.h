#pragma once

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// The two-Jacobian form: (1/tau_f) [2 J((q + D)/2) - 1/2 J(pi_f)] g with q = pi_b.
inline Row reinmax(const Row& logits, int64_t index, const Row& g, const Settings& e,
                   const Noise&) {
  const Row sum = plus(softmax(logits, e.tau_b), onehot(index, size(logits)));
  const Row first = scaled(jacobian_times(scaled(sum, 0.5), g), 2);
  const Row second = jacobian_times(softmax(logits, e.tau_f), g);
  return scaled(plus(first, second, -0.5), 1 / e.tau_f);
}

/// [q(1-q) + (b-q)^2 / 2 - p(1-p)/2] g / tau_f
inline double reinmax_binary(double a, int b, double g, const Settings& e, const Noise&) {
  const double slope_b = sigmoid_slope(a / e.tau_b);
  const double slope_f = sigmoid_slope(a / e.tau_f);
  const double other = sigmoid((b ? -a : a) / e.tau_b);
  return (slope_b + 0.5 * other * other - 0.5 * slope_f) * g / e.tau_f;
}

}  // namespace reference
