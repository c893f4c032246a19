#pragma once

#include "math/row.h"

namespace gradthru::math {

/// The largest logit; NaN if one is NaN or +inf, so that everything computed from it is NaN as
/// well.
template <class Tile>
GRADTHRU_HD typename Tile::V row_maximum(const Tile& t, const typename Tile::Real* logits,
                                         int64_t K) {
  const double infinity = std::numeric_limits<double>::infinity();
  auto largest = t.set(-infinity);
  auto poison = t.set(0);
  for (int64_t k = 0; k < K; k += Tile::width) {
    const auto logit = t.load(logits, k, K, -infinity);
    largest = t.max(largest, logit);
    poison = t.select(t.less(logit, t.set(infinity)), poison, t.set(1));
  }
  const auto invalid = t.less(t.set(0), t.maximum(poison));
  return t.select(invalid, t.set(std::numeric_limits<double>::quiet_NaN()), t.maximum(largest));
}

/// weights_k = exp((logits_k - maximum) * inv_tau); returns their sum.
template <class Tile>
GRADTHRU_HD typename Tile::V exponentials(const Tile& t, const typename Tile::Real* logits,
                                          typename Tile::V maximum, typename Tile::V inv_tau,
                                          typename Tile::Real* weights, int64_t K) {
  const double minus_infinity = -std::numeric_limits<double>::infinity();
  auto total = t.set(0);
  for (int64_t k = 0; k < K; k += Tile::width) {
    const auto weight = t.exp((t.load(logits, k, K, minus_infinity) - maximum) * inv_tau);
    total = total + weight;
    t.store(weights, k, K, weight);
  }
  return t.sum(total);
}

/// delta_k = g_k - g_index, exactly 0 at the index and where the weight (the probability) is 0, so
/// that a gradient at a category that does not exist is never read.
template <class Tile>
GRADTHRU_HD typename Tile::V delta(const Tile& t, const Row<Tile>& row,
                                   typename Tile::V grad_at_index, typename Tile::V weight,
                                   int64_t k) {
  const auto difference = t.load(row.grad, k, row.K, 0) - grad_at_index;
  const auto absent = t.equal(weight, t.set(0));
  return t.select(t.either(absent, t.equal(t.columns(k), row.index)), t.set(0), difference);
}

/// sum_k weights_k delta_k.
template <class Tile>
GRADTHRU_HD typename Tile::V delta_dot(const Tile& t, const Row<Tile>& row,
                                       const typename Tile::Real* weights) {
  const auto grad_at_index = t.at(row.grad, row.index, row.K);
  auto dot = t.set(0);
  for (int64_t k = 0; k < row.K; k += Tile::width) {
    const auto weight = t.load(weights, k, row.K, 0);
    dot = dot + weight * delta(t, row, grad_at_index, weight, k);
  }
  return t.sum(dot);
}

/// out_k = scale * J(p) g with p = weights / total: p_k (delta_k - p . delta). `weights` may be
/// `out`. With `accumulate` the result is added to what stands in `out`.
template <class Tile>
GRADTHRU_HD void softmax_vjp(const Tile& t, const Row<Tile>& row,
                             const typename Tile::Real* weights, typename Tile::V total,
                             typename Tile::V scale, bool accumulate = false) {
  const auto inv_total = t.set(1) / total;
  const auto mean = delta_dot(t, row, weights) * inv_total;
  const auto grad_at_index = t.at(row.grad, row.index, row.K);
  for (int64_t k = 0; k < row.K; k += Tile::width) {
    const auto weight = t.load(weights, k, row.K, 0);
    auto result = weight * inv_total * (delta(t, row, grad_at_index, weight, k) - mean) * scale;
    if (accumulate) result = result + t.load(row.out, k, row.K, 0);
    t.store(row.out, k, row.K, result);
  }
}

/// Unnormalised surrogate of the Gumbel estimators from the perturbed logits in `values`, in place;
/// returns its sum. The perturbed logits still lack the backward temperature under scaled_sum: it
/// is applied to differences from the largest, which cannot overflow to NaN. `maximum` (of the
/// logits) hands on the NaN of an invalid row, which the largest of several values may have lost.
template <class Tile>
GRADTHRU_HD typename Tile::V perturbed_exponentials(const Tile& t, typename Tile::V largest,
                                                    typename Tile::V maximum, const Params& p,
                                                    typename Tile::Real* values, int64_t K) {
  const auto inv_tau = p.scaled_sum() ? inverse<Tile>(p.tau_b) : t.set(1);
  return exponentials(t, values, t.maximum(largest) + t.set(0) * maximum, inv_tau, values, K);
}

/// sigma(a), without overflow.
template <class Tile>
GRADTHRU_HD typename Tile::V sigmoid(const Tile& t, typename Tile::V a) {
  const auto e = t.exp(-t.abs(a));
  return t.select(t.less(a, t.set(0)), e, t.set(1)) / (t.set(1) + e);
}

/// sigma(a) sigma(-a), the slope of the sigmoid, without cancellation.
template <class Tile>
GRADTHRU_HD typename Tile::V sigmoid_slope(const Tile& t, typename Tile::V a) {
  const auto e = t.exp(-t.abs(a));
  const auto one_plus_e = t.set(1) + e;
  return e / (one_plus_e * one_plus_e);
}

}  // namespace gradthru::math
