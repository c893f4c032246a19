#pragma once

#include <cmath>

#include "reference/reinmax_rao.h"
#include "reference/settings.h"
#include "reference/softmax.h"
#include "reference/zgr.h"

namespace reference {

/// (1/tau) J(softmax((theta_D + G)/tau)) g with the Gumbels of inner draw m, free of the sample.
inline Row free_midpoint_gradient(const Row& logits, int64_t index, const Row& g, double tau,
                                  const Noise& noise, int64_t m) {
  Row perturbed = midpoint_logits(logits, index);
  for (size_t k = 0; k < perturbed.size(); ++k)
    perturbed[k] -= std::log(noise.exponential(m, static_cast<int64_t>(k)));
  return scaled(jacobian_times(softmax(perturbed, tau), g), 1 / tau);
}

/// zgr + eta (J_GR - J_1) g; J_1 is inner draw M.
inline Row reinmax_cv(const Row& logits, int64_t index, const Row& g, const Settings& e,
                      const Noise& noise) {
  Row sum = zgr(logits, index, g, Settings{}, noise);
  for (int64_t m = 0; m < e.samples; ++m)
    sum = plus(sum, midpoint_gradient(logits, index, g, e.tau_b, noise, m),
               e.eta / static_cast<double>(e.samples));
  const auto last = e.free_draw ? free_midpoint_gradient : midpoint_gradient;
  return plus(sum, last(logits, index, g, e.tau_b, noise, e.samples), -e.eta);
}

/// The same of a binary variable, where the free noise is a logistic number.
inline double reinmax_cv_binary(double a, int b, double g, const Settings& e, const Noise& noise) {
  double averaged = 0;
  for (int64_t m = 0; m < e.samples; ++m)
    averaged += midpoint_binary(a, b, g, e.tau_b, noise, m) / static_cast<double>(e.samples);
  double last = midpoint_binary(a, b, g, e.tau_b, noise, e.samples);
  if (e.free_draw) {
    const double logistic = noise.log_v(e.samples) - noise.log_one_minus_v(e.samples);
    last = sigmoid_slope((midpoint_logit(a, b) + logistic) / e.tau_b) * g / e.tau_b;
  }
  return zgr_binary(a, b, g, Settings{}, noise) + e.eta * (averaged - last);
}

}  // namespace reference
