#pragma once

#include "math/row.h"

namespace gradthru::math {

/// The largest logit; NaN if one is NaN or +inf, so that everything computed from it is NaN as
/// well.
template <class Tile>
GRADTHRU_HD typename Tile::V row_maximum(const Tile& t, const typename Tile::Real* logits,
                                         int64_t K) {
  const auto infinity = t.set(std::numeric_limits<double>::infinity());
  const auto top = t.largest(K, [&](auto k) {
    return t.min(infinity, t.load(logits, k));  // NaN counts as +inf
  });
  return t.select(t.less(top, infinity), top, t.set(std::numeric_limits<double>::quiet_NaN()));
}

/// exp((logit - maximum) * inv_tau) at cursor k.
template <class Tile, class Cursor>
GRADTHRU_HD typename Tile::V exponential_weight(const Tile& t, const typename Tile::Real* logits,
                                                typename Tile::V maximum, typename Tile::V inv_tau,
                                                Cursor k) {
  return t.exp((t.load(logits, k) - maximum) * inv_tau);
}

/// weights_k = exp((logits_k - maximum) * inv_tau); returns their sum.
template <class Tile>
GRADTHRU_HD typename Tile::V exponentials(const Tile& t, const typename Tile::Real* logits,
                                          typename Tile::V maximum, typename Tile::V inv_tau,
                                          typename Tile::Real* weights, int64_t K) {
  return t.sum(K, [&](auto k) {
    const auto weight = exponential_weight(t, logits, maximum, inv_tau, k);
    t.store(weights, k, weight);
    return weight;
  });
}

/// delta_k = g_k - g_index, 0 at the index, and exactly 0 where the weight (the probability) is 0,
/// so that a gradient at a category that does not exist is never read.
template <class Tile, class Cursor>
GRADTHRU_HD typename Tile::V delta(const Tile& t, const Row<Tile>& row,
                                   typename Tile::V grad_at_index, typename Tile::V weight,
                                   Cursor k) {
  const auto difference = t.load(row.grad, k) - grad_at_index;
  return t.select(t.equal(weight, t.set(0)), t.set(0), difference);
}

/// Unnormalised probabilities of a row: what the Jacobian of the softmax needs of them.
template <class Tile>
struct Weights {
  typename Tile::Real* of;  ///< in memory
  typename Tile::V total;   ///< their sum
  typename Tile::V mean;    ///< p . delta, with p = weights / total
  typename Tile::V inverse_total;
};

/// Stores weight(k) for every k in `weights` and takes their sums, in one pass.
template <class Tile, class Function>
GRADTHRU_HD Weights<Tile> weigh(const Tile& t, const Row<Tile>& row, typename Tile::Real* weights,
                                const Function& weight_at) {
  const auto grad_at_index = t.at(row.grad, row.index);
  const auto sums = t.sum(row.K, [&](auto k) {
    const auto weight = weight_at(k);
    t.store(weights, k, weight);
    return Sums<typename Tile::V, 2>{{weight, weight * delta(t, row, grad_at_index, weight, k)}};
  });
  const auto inverse_total = t.set(1) / sums.of[0];
  return {weights, sums.of[0], sums.of[1] * inverse_total, inverse_total};
}

/// The weights of softmax(logits * inv_tau).
template <class Tile>
GRADTHRU_HD Weights<Tile> softmax_weights(const Tile& t, const Row<Tile>& row,
                                          typename Tile::V maximum, typename Tile::V inv_tau,
                                          typename Tile::Real* weights) {
  return weigh(t, row, weights,
               [&](auto k) { return exponential_weight(t, row.logits, maximum, inv_tau, k); });
}

/// out_k = scale * J(p) g = scale * p_k (delta_k - p . delta). The weights may stand in `out`. With
/// `accumulate` the result is added to what stands in `out`.
template <class Tile>
GRADTHRU_HD void softmax_vjp(const Tile& t, const Row<Tile>& row, const Weights<Tile>& weights,
                             typename Tile::V scale, bool accumulate = false) {
  const auto grad_at_index = t.at(row.grad, row.index);
  const auto factor = weights.inverse_total * scale;
  const auto result_at = [&](auto k) {
    const auto weight = t.load(weights.of, k);
    return weight * factor * (delta(t, row, grad_at_index, weight, k) - weights.mean);
  };
  if (accumulate) {
    t.each(row.K, [&](auto k) { t.store(row.out, k, t.load(row.out, k) + result_at(k)); });
  } else {
    t.each(row.K, [&](auto k) { t.store(row.out, k, result_at(k)); });
  }
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
