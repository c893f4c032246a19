#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "gradthru/categorical.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/statistics.h"

// Exact expectations of an estimator: the library's gradient for every outcome, weighted.
namespace support {

/// The gradient of f at each one-hot point: row x is the g that arrives when x was drawn.
using GradientTable = std::vector<Row>;

/// Row x: the library's gradient when x is the sample and row x of the table arrives.
inline std::vector<Row> gradients_by_outcome(const Row& logits, const Estimator& e,
                                             const GradientTable& table) {
  const int64_t categories = static_cast<int64_t>(logits.size());
  const at::Tensor repeated = tensor_of(logits).unsqueeze(0).repeat({categories, 1});
  const gradthru::SampleOptions replay = {.index = at::arange(categories),
                                          .key = gradthru::Key{.seed = 1}};
  return rows_of(run(repeated, e, replay, matrix_from(table)).grad);
}

/// The mean of the estimator under the distribution that it samples.
inline Row mean_gradient(const Row& logits, const Estimator& e, const GradientTable& table) {
  const Row probs = reference::softmax(logits, sampling_tau(e));
  const std::vector<Row> grads = gradients_by_outcome(logits, e, table);
  Row mean(logits.size(), 0.0);
  for (size_t x = 0; x < probs.size(); ++x) mean = reference::plus(mean, grads[x], probs[x]);
  return mean;
}

/// Moments of every component of the gradient over many draws from one row of logits, where the g
/// that arrives depends on the drawn index.
inline std::vector<Moments> gradient_moments(const Row& logits, const Estimator& e,
                                             const gradthru::Key& key, const GradientTable& table,
                                             int64_t draws) {
  const auto K = static_cast<int64_t>(logits.size());
  const at::Tensor input = tensor_of(logits).expand({draws, K});
  const at::Tensor index = gradthru::sample(input, e, {.key = key}).index;
  const at::Tensor g = matrix_from(table).index_select(0, index);
  const at::Tensor grad = run(input, e, {.key = key}, g).grad;
  std::vector<Moments> result;
  for (int64_t k = 0; k < K; ++k) result.push_back(moments(row_of(grad.select(1, k))));
  return result;
}

/// d/d logits of sum over x of pi_x f(e_x): (1/tau) sum of pi_x f(e_x) (e_x - pi).
inline Row exact_gradient(const Row& logits, double tau, const Row& values) {
  return reference::scaled(reference::jacobian_times(reference::softmax(logits, tau), values),
                           1 / tau);
}

/// f(z) = b.z + z'Qz/2 + sum of T_ijk z_i z_j z_k / 6 with symmetric Q and T, by its values and
/// gradients at the one-hot points.
struct Polynomial {
  Row values;
  GradientTable gradients;
  double largest = 0;  ///< coefficient
};

/// A random polynomial of exactly this degree, 1 to 3.
inline Polynomial random_polynomial(Random& random, int degree, size_t categories) {
  Polynomial f{Row(categories, 0.0), GradientTable(categories, Row(categories, 0.0)), 0};
  const auto draw = [&] {
    const double coefficient = random.number();
    f.largest = std::max(f.largest, std::abs(coefficient));
    return coefficient;
  };
  for (size_t k = 0; k < categories; ++k) {
    const double b = draw();
    f.values[k] += b;
    for (Row& gradient : f.gradients) gradient[k] += b;
  }
  for (size_t i = 0; degree >= 2 && i < categories; ++i)
    for (size_t j = i; j < categories; ++j) {
      const double q = draw();  // Q_ij = Q_ji
      f.gradients[i][j] += q;
      f.gradients[j][i] += i == j ? 0 : q;
      f.values[i] += i == j ? q / 2 : 0;
    }
  for (size_t i = 0; degree >= 3 && i < categories; ++i)
    for (size_t k = 0; k < categories; ++k) {
      const double t = draw();  // T_iik: the only entries that a one-hot point sees
      f.gradients[i][k] += t / 2;
      f.values[i] += i == k ? t / 6 : 0;
    }
  return f;
}

inline double max_abs_difference(const Row& a, const Row& b) {
  double largest = 0;
  for (size_t k = 0; k < a.size(); ++k) largest = std::max(largest, std::abs(a[k] - b[k]));
  return largest;
}

/// The largest error of the estimator's mean over `cases` random polynomials of a degree, relative
/// to the largest coefficient.
inline double expectation_error(const Estimator& e, int degree, uint64_t seed, int cases = 6) {
  Random random(seed);
  double largest = 0;
  for (int i = 0; i < cases; ++i) {
    const int64_t categories = 2 + i % 4;
    const Row logits = random.normals(categories, kLogitScale);
    const Polynomial f = random_polynomial(random, degree, static_cast<size_t>(categories));
    const Row mean = mean_gradient(logits, e, f.gradients);
    const Row exact = exact_gradient(logits, sampling_tau(e), f.values);
    largest = std::max(largest, max_abs_difference(mean, exact) / f.largest);
  }
  return largest;
}

}  // namespace support
