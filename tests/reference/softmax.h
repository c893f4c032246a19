#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace reference {

using Row = std::vector<double>;

inline int64_t size(const Row& row) {
  return static_cast<int64_t>(row.size());
}

inline double dot(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

inline Row scaled(const Row& row, double factor) {
  Row result(row.size());
  for (size_t k = 0; k < row.size(); ++k) result[k] = factor * row[k];
  return result;
}

/// a + factor * b
inline Row plus(const Row& a, const Row& b, double factor = 1) {
  Row result(a.size());
  for (size_t k = 0; k < a.size(); ++k) result[k] = a[k] + factor * b[k];
  return result;
}

inline Row onehot(int64_t index, int64_t categories) {
  Row result(static_cast<size_t>(categories), 0.0);
  result[static_cast<size_t>(index)] = 1;
  return result;
}

inline double log_sum_exp(const Row& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

/// softmax(logits / tau)
inline Row softmax(const Row& logits, double tau = 1) {
  const double top = *std::max_element(logits.begin(), logits.end());
  Row probs(logits.size());
  double sum = 0;
  for (size_t k = 0; k < logits.size(); ++k) sum += probs[k] = std::exp((logits[k] - top) / tau);
  for (double& prob : probs) prob /= sum;
  return probs;
}

/// J(p) v with J(p) = diag(p) - p p^T: the derivative of softmax at probabilities p.
inline Row jacobian_times(const Row& probs, const Row& v) {
  const double mean = dot(probs, v);
  Row result(probs.size());
  for (size_t k = 0; k < probs.size(); ++k) result[k] = probs[k] * v[k] - probs[k] * mean;
  return result;
}

inline double sigmoid(double a) {
  return a >= 0 ? 1 / (1 + std::exp(-a)) : std::exp(a) / (1 + std::exp(a));
}

/// s(1 - s) at s = sigmoid(a), with all its digits for large |a|.
inline double sigmoid_slope(double a) {
  return sigmoid(a) * sigmoid(-a);
}

/// log(1 + e^a)
inline double softplus(double a) {
  return std::max(a, 0.0) + std::log1p(std::exp(-std::abs(a)));
}

/// log(e^a + e^b)
inline double log_add_exp(double a, double b) {
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

}  // namespace reference
