#pragma once

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// (1/tau_f) [1/2 <g, D - 1/K> (D - pi_f) + 1/2 J(pi_f) g / (K pi_f,x)]
inline Row reinmax_uniform(const Row& logits, int64_t index, const Row& g, const Settings& e,
                           const Noise&) {
  const Row probs = softmax(logits, e.tau_f);
  const double categories = static_cast<double>(size(logits));
  const Row drawn = onehot(index, size(logits));
  double product = 0;
  for (size_t k = 0; k < g.size(); ++k) product += g[k] * (drawn[k] - 1 / categories);
  const double share = categories * probs[static_cast<size_t>(index)];
  const Row first = scaled(plus(drawn, probs, -1), 0.5 * product);
  return scaled(plus(first, jacobian_times(probs, g), 0.5 / share), 1 / e.tau_f);
}

/// The rule at logits [a, 0], g = [g, 0]: with P the probability of the state drawn, D - 1/K is
/// (b - 1/2) and J(pi_f) g / P is the probability of the other state times g.
inline double reinmax_uniform_binary(double a, int b, double g, const Settings& e, const Noise&) {
  const double other = sigmoid((b ? -a : a) / e.tau_f);
  const double sign = 2 * b - 1;
  const double first = 0.5 * (g * 0.5 * sign) * (sign * other);
  const double second = 0.5 * (other * g) / 2;
  return (first + second) / e.tau_f;
}

}  // namespace reference
