#pragma once

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// (1 - alpha/2) st(tau_f, tau_f) + (alpha/2) darn(tau_f)
inline Row st_zgr(const Row& logits, int64_t index, const Row& g, const Settings& e, const Noise&) {
  const Row probs = softmax(logits, e.tau_f);
  const Row residual = plus(onehot(index, size(logits)), probs, -1);
  const Row st_part = scaled(jacobian_times(probs, g), (1 - e.alpha / 2) / e.tau_f);
  return plus(st_part, residual, e.alpha / 2 * dot(g, residual) / e.tau_f);
}

/// (1 - alpha/2) p(1-p) g / tau_f + (alpha/2) (b-p)^2 g / tau_f
inline double st_zgr_binary(double a, int b, double g, const Settings& e, const Noise&) {
  const double other = sigmoid((b ? -a : a) / e.tau_f);
  const double slope = sigmoid_slope(a / e.tau_f);
  return ((1 - e.alpha / 2) * slope + e.alpha / 2 * other * other) * g / e.tau_f;
}

}  // namespace reference
