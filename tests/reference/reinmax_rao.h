#pragma once

#include <cmath>
#include <vector>

#include "reference/gumbel_rao.h"
#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// log((pi + D)/2)
inline Row midpoint_logits(const Row& logits, int64_t index) {
  Row result = plus(softmax(logits), onehot(index, size(logits)));
  for (double& value : result) value = std::log(value / 2);
  return result;
}

/// (1/tau) J(s) g of inner draw m at the midpoint, given the sample; categories that do not exist
/// keep no share of it.
inline Row midpoint_gradient(const Row& logits, int64_t index, const Row& g, double tau,
                             const Noise& noise, int64_t m) {
  Settings at_midpoint;
  at_midpoint.tau_b = tau;
  const Row s = gumbel_rao_surrogate(midpoint_logits(logits, index), index, at_midpoint, noise, m);
  return scaled(jacobian_times(s, g), 1 / tau);
}

/// 2 J_GR g - J(pi) g / 2
inline Row reinmax_rao(const Row& logits, int64_t index, const Row& g, const Settings& e,
                       const Noise& noise) {
  Row sum = scaled(jacobian_times(softmax(logits), g), -0.5);
  for (int64_t m = 0; m < e.samples; ++m)
    sum = plus(sum, midpoint_gradient(logits, index, g, e.tau_b, noise, m),
               2 / static_cast<double>(e.samples));
  return sum;
}

/// The logit of the midpoint, b = 1 against b = 0.
inline double midpoint_logit(double a, int b) {
  return std::log(sigmoid(a) + b) - std::log(sigmoid(-a) + (1 - b));
}

/// s(1-s) g / tau of inner draw m at the midpoint.
inline double midpoint_binary(double a, int b, double g, double tau, const Noise& noise,
                              int64_t m) {
  const double z =
      conditional_logit(midpoint_logit(a, b), b, noise.log_v(m), noise.log_one_minus_v(m));
  return sigmoid_slope(z / tau) * g / tau;
}

/// 2 mean over m of s(1-s) g / tau - p(1-p) g / 2
inline double reinmax_rao_binary(double a, int b, double g, const Settings& e, const Noise& noise) {
  double sum = 0;
  for (int64_t m = 0; m < e.samples; ++m) sum += midpoint_binary(a, b, g, e.tau_b, noise, m);
  return 2 * sum / static_cast<double>(e.samples) - 0.5 * sigmoid_slope(a) * g;
}

}  // namespace reference
