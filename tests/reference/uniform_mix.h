#pragma once

#include <cmath>

#include "reference/sampler.h"
#include "reference/settings.h"
#include "reference/softmax.h"

// Sampling from p = (1 - eps) softmax(logits / tau_f) + eps / K.
namespace reference {

using Rule = Row (*)(const Row& logits, int64_t index, const Row& g, const Settings& e,
                     const Noise& noise);

/// The law that is sampled; tau_f = 0 puts all of the softmax on the first maximum.
inline Row mixed_law(const Row& logits, double tau_f, double eps) {
  const Row probs = tau_f == 0 ? onehot(argmax(logits), size(logits)) : softmax(logits, tau_f);
  Row law(probs.size());
  for (size_t k = 0; k < probs.size(); ++k)
    law[k] = (1 - eps) * probs[k] + eps / static_cast<double>(probs.size());
  return law;
}

inline Row log_of(const Row& probs) {
  Row logs(probs.size());
  for (size_t k = 0; k < probs.size(); ++k) logs[k] = std::log(probs[k]);
  return logs;
}

/// With u the rule at logits log p and temperature 1: (1 - eps)/tau_f J(pi_f)(u / p).
inline Row mixed_rule(Rule rule, const Row& logits, int64_t index, const Row& g,
                      const Settings& settings, const Noise& noise, double eps) {
  const Row law = mixed_law(logits, settings.tau_f, eps);
  Settings untempered = settings;
  untempered.tau_f = untempered.tau_b = 1;
  Row ratio = rule(log_of(law), index, g, untempered, noise);
  for (size_t k = 0; k < law.size(); ++k) ratio[k] /= law[k];
  return scaled(jacobian_times(softmax(logits, settings.tau_f), ratio), (1 - eps) / settings.tau_f);
}

}  // namespace reference
