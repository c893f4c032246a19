#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "reference/settings.h"
#include "reference/softmax.h"
#include "reference/st_zgr.h"

namespace reference {

using Matrix = std::vector<Row>;

/// The solution of A u = c, by Gaussian elimination with row pivoting.
inline Row solve(Matrix A, Row c) {
  const size_t n = c.size();
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i)
      if (std::abs(A[i][k]) > std::abs(A[pivot][k])) pivot = i;
    std::swap(A[k], A[pivot]);
    std::swap(c[k], c[pivot]);
    for (size_t i = k + 1; i < n; ++i) {
      const double factor = A[i][k] / A[k][k];
      if (factor == 0) continue;
      for (size_t j = k; j < n; ++j) A[i][j] -= factor * A[k][j];
      c[i] -= factor * c[k];
    }
  }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) c[k] -= A[k][j] * c[j];
    c[k] /= A[k][k];
  }
  return c;
}

/// The Laplacian of symmetric weights.
inline Matrix laplacian(const Matrix& weights) {
  Matrix A(weights.size(), Row(weights.size(), 0.0));
  for (size_t i = 0; i < A.size(); ++i)
    for (size_t j = 0; j < A.size(); ++j)
      if (i != j) {
        A[i][j] -= weights[i][j];
        A[i][i] += weights[i][j];
      }
  return A;
}

/// u of mve at t = inf: A is a Laplacian, u_x = 0, its row and column are deleted.
inline Row mve_least_norm(const Row& p, size_t x, const Row& delta) {
  const size_t K = p.size();
  Matrix weights(K, Row(K, 0.0));
  for (size_t i = 0; i < K; ++i)
    for (size_t j = 0; j < K; ++j) weights[i][j] = p[i] * p[j] / (p[i] + p[j]);
  Matrix A = laplacian(weights);
  Row c(K);
  for (size_t i = 0; i < K; ++i) c[i] = delta[i] * p[i] / (p[i] + p[x]);
  const auto at = static_cast<std::ptrdiff_t>(x);
  A.erase(A.begin() + at);
  for (Row& row : A) row.erase(row.begin() + at);
  c.erase(c.begin() + at);
  Row u = solve(A, c);
  u.insert(u.begin() + at, 0.0);
  return scaled(u, 0.5);
}

/// r u of mve at a finite t.
inline Row mve_regularised(const Row& p, size_t x, const Row& delta, double t) {
  const size_t K = p.size();
  Matrix weights(K, Row(K, 0.0));
  Row ground(K, 0.0), c(K, 0.0);
  for (size_t i = 0; i < K; ++i)
    for (size_t j = 0; j < K; ++j) {
      const double d = 1 + t * (p[i] + p[j]);
      weights[i][j] = t * p[i] * p[j] / d;
      ground[i] += p[j] / d;
    }
  for (size_t i = 0; i < K; ++i) {
    if (i == x) continue;
    const double d = 1 + t * (p[i] + p[x]);
    c[i] = delta[i] * (1 + t * p[i]) / d;
    c[x] -= delta[i] * t * p[i] / d;
  }
  Matrix A = laplacian(weights);
  for (size_t i = 0; i < K; ++i) A[i][i] += ground[i];
  Row u = solve(A, c);
  for (size_t i = 0; i < K; ++i) u[i] *= (1 + t * p[i]) / (1 + 2 * t * p[i]);
  return u;
}

/// (1/tau_f) J(p)(r u), of the categories with p > 0.
inline Row mve(const Row& logits, int64_t index, const Row& g, const Settings& e, const Noise&) {
  const Row all = softmax(logits, e.tau_f);
  Row p, delta;
  size_t x = 0;
  for (size_t k = 0; k < all.size(); ++k) {
    if (all[k] == 0) continue;
    if (static_cast<int64_t>(k) == index) x = p.size();
    p.push_back(all[k]);
    delta.push_back(g[k] - g[static_cast<size_t>(index)]);
  }
  const Row u = std::isinf(e.t) ? mve_least_norm(p, x, delta) : mve_regularised(p, x, delta, e.t);
  const Row grad = scaled(jacobian_times(p, u), 1 / e.tau_f);
  Row result(logits.size(), 0.0);
  for (size_t k = 0, i = 0; k < all.size(); ++k)
    if (all[k] != 0) result[k] = grad[i++];
  return result;
}

/// st_zgr with alpha = v/(1 + v), v = 4t p(1-p); zgr at t = inf.
inline double mve_binary(double a, int b, double g, const Settings& e, const Noise& noise) {
  Settings mixture = e;
  const double v = 4 * e.t * sigmoid_slope(a / e.tau_f);
  mixture.alpha = std::isinf(e.t) ? 1 : v / (1 + v);
  return st_zgr_binary(a, b, g, mixture, noise);
}

}  // namespace reference
