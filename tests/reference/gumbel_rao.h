#pragma once

#include <cmath>

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// The Gumbel-perturbed sampling logits given that `index` wins, from iid Exp(1) numbers.
inline Row conditional_perturbed(const Row& sampling_logits, int64_t index,
                                 const Row& exponentials) {
  const double log_z = log_sum_exp(sampling_logits);
  const double log_e_x = std::log(exponentials[static_cast<size_t>(index)]);
  Row a(sampling_logits.size());
  for (size_t k = 0; k < a.size(); ++k)
    a[k] = -log_add_exp(std::log(exponentials[k]) - sampling_logits[k], log_e_x - log_z);
  a[static_cast<size_t>(index)] = log_z - log_e_x;
  return a;
}

/// The surrogate of inner draw m.
inline Row gumbel_rao_surrogate(const Row& logits, int64_t index, const Settings& e,
                                const Noise& noise, int64_t m) {
  Row exponentials(logits.size());
  for (size_t k = 0; k < logits.size(); ++k)
    exponentials[k] = noise.exponential(m, static_cast<int64_t>(k));
  const Row sampling_logits = e.scaled_logits ? scaled(logits, 1 / e.tau_f) : logits;
  const Row a = conditional_perturbed(sampling_logits, index, exponentials);
  if (!e.scaled_logits) return softmax(a, e.tau_b);
  Row shifted(a.size());
  for (size_t k = 0; k < a.size(); ++k)
    shifted[k] = logits[k] / e.tau_b + a[k] - logits[k] / e.tau_f;
  return softmax(shifted);
}

/// (1/tau_b)(1/M) sum over m of J(s_m) g
inline Row gumbel_rao(const Row& logits, int64_t index, const Row& g, const Settings& e,
                      const Noise& noise) {
  Row sum(logits.size(), 0.0);
  for (int64_t m = 0; m < e.samples; ++m)
    sum = plus(sum, jacobian_times(gumbel_rao_surrogate(logits, index, e, noise, m), g));
  return scaled(sum, 1 / (e.tau_b * static_cast<double>(e.samples)));
}

/// The perturbed logit of a binary variable given b, from the two logarithms of one uniform.
inline double conditional_logit(double sampling_logit, int b, double log_u,
                                double log_one_minus_u) {
  if (b == 1) return softplus(sampling_logit + log_u) - log_one_minus_u;
  return -(softplus(-sampling_logit + log_one_minus_u) - log_u);
}

/// The argument of the sigmoid of inner draw m.
inline double gumbel_rao_binary_argument(double a, int b, const Settings& e, const Noise& noise,
                                         int64_t m) {
  const double sampling_logit = e.scaled_logits ? a / e.tau_f : a;
  const double z = conditional_logit(sampling_logit, b, noise.log_v(m), noise.log_one_minus_v(m));
  return e.scaled_logits ? z + a / e.tau_b - a / e.tau_f : z / e.tau_b;
}

/// mean over m of s(1-s) g / tau_b
inline double gumbel_rao_binary(double a, int b, double g, const Settings& e, const Noise& noise) {
  double sum = 0;
  for (int64_t m = 0; m < e.samples; ++m)
    sum += sigmoid_slope(gumbel_rao_binary_argument(a, b, e, noise, m));
  return sum / static_cast<double>(e.samples) * g / e.tau_b;
}

}  // namespace reference
