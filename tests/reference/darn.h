#pragma once

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// (1/tau_f) <g, D - pi_f> (D - pi_f)
inline Row darn(const Row& logits, int64_t index, const Row& g, const Settings& e, const Noise&) {
  const Row residual = plus(onehot(index, size(logits)), softmax(logits, e.tau_f), -1);
  return scaled(residual, dot(g, residual) / e.tau_f);
}

/// (b-p)^2 g / tau_f, where |b - p| is the probability of the state not drawn
inline double darn_binary(double a, int b, double g, const Settings& e, const Noise&) {
  const double other = sigmoid((b ? -a : a) / e.tau_f);
  return other * other * g / e.tau_f;
}

}  // namespace reference
