#pragma once

#include <cmath>

#include "reference/sampler.h"
#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// The gap: a number, or E[largest - second largest of l + G | x wins] from the probability of x.
inline double gst_gap(double probability, const Settings& e) {
  if (!e.gap_from_probability) return e.gap;
  const double p = std::min(probability, 1 - 1e-5);
  return p == 0 ? 1 : -std::log1p(-p) / p;
}

/// The perturbed logits: a_x = M and a_k = min(logit_k, M - tau_f gap) elsewhere.
inline Row gst_perturbed(const Row& logits, int64_t index, double gap, const Settings& e) {
  const double top = *std::max_element(logits.begin(), logits.end());
  Row perturbed(logits.size());
  for (size_t k = 0; k < logits.size(); ++k)
    perturbed[k] = std::min(logits[k], top - e.tau_f * gap);
  perturbed[static_cast<size_t>(index)] = top;
  return perturbed;
}

/// Differentiates the perturbation too: what arrives at x or at a lowered entry goes to the
/// largest.
inline Row gst_through_perturbation(const Row& logits, int64_t index, const Row& h, double gap,
                                    const Settings& e) {
  const int64_t largest = argmax(logits);
  const double ceiling = logits[static_cast<size_t>(largest)] - e.tau_f * gap;
  Row result(h.size(), 0.0);
  for (size_t k = 0; k < h.size(); ++k) {
    const bool moved = static_cast<int64_t>(k) == index || logits[k] > ceiling;
    result[moved ? static_cast<size_t>(largest) : k] += h[k];
  }
  return result;
}

inline Row gst(const Row& logits, int64_t index, const Row& g, const Settings& e, const Noise&) {
  if (!e.consistent) return scaled(jacobian_times(softmax(logits, e.tau_b), g), 1 / e.tau_b);
  const double gap = gst_gap(softmax(logits, e.tau_f)[static_cast<size_t>(index)], e);
  const Row s = softmax(gst_perturbed(logits, index, gap, e), e.tau_b);
  const Row h = scaled(jacobian_times(s, g), 1 / e.tau_b);
  return e.detach ? h : gst_through_perturbation(logits, index, h, gap, e);
}

/// s(1-s) g / tau_b, s = sigmoid(w max(w a, tau_f gap) / tau_b), w = 2b - 1. With the perturbation
/// differentiated (logits [a, 0], category 0 is b = 1) the slope reaches a only where exactly one
/// of the two perturbed logits moves with a.
inline double gst_binary(double a, int b, double g, const Settings& e, const Noise&) {
  if (!e.consistent) return sigmoid_slope(a / e.tau_b) * g / e.tau_b;
  const double w = 2 * b - 1;
  const double gap = gst_gap(sigmoid(w * a / e.tau_f), e);
  const double z = w * std::max(w * a, e.tau_f * gap);
  const double h = sigmoid_slope(z / e.tau_b) * g / e.tau_b;
  if (e.detach) return h;
  const bool leads = a >= 0;
  const double ceiling = std::max(a, 0.0) - e.tau_f * gap;
  const bool first_moved = b == 1 || a > ceiling;
  const bool second_moved = b == 0 || 0 > ceiling;
  const double from_first = !first_moved || leads ? h : 0;
  const double from_second = second_moved && leads ? -h : 0;
  return from_first + from_second;
}

}  // namespace reference
