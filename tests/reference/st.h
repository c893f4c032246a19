#pragma once

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// (1/tau_b) J(pi_b) g
inline Row st(const Row& logits, int64_t, const Row& g, const Settings& e, const Noise&) {
  return scaled(jacobian_times(softmax(logits, e.tau_b), g), 1 / e.tau_b);
}

/// q(1-q) g / tau_b
inline double st_binary(double a, int, double g, const Settings& e, const Noise&) {
  return sigmoid_slope(a / e.tau_b) * g / e.tau_b;
}

}  // namespace reference
