#pragma once

#include "math/estimators/zgr.h"

namespace gradthru::math {

/// (1/tau_f) [<g, D - 1/K> (D - p) / 2 + J(p) g / (2 K p_index)], p = softmax(logits / tau_f).
struct reinmax_uniform {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const double infinity = std::numeric_limits<double>::infinity();
    const auto inv_tau = inverse<Tile>(p.tau_f);
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto total = exponentials(t, row.logits, maximum, inv_tau, row.out, row.K);
    const auto inv_total = t.set(1) / total;
    const auto dot = delta_dot(t, row, row.out) * inv_total;
    const auto grad_at_index = t.at(row.grad, row.index, row.K);
    auto sum = t.set(0);
    auto count = t.set(0);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto exists = t.less(t.set(-infinity), t.load(row.logits, k, row.K, -infinity));
      const auto one = t.select(exists, t.set(1), t.set(0));
      count = count + one;
      sum = sum + delta(t, row, grad_at_index, one, k);
    }
    count = t.sum(count);
    const auto against_mean = t.set(-0.5) * t.sum(sum) / count;  // <g, D - 1/K> / 2
    const auto prob_of_index = t.at(row.out, row.index, row.K) * inv_total;
    const auto of_jacobian = t.set(0.5) / (count * prob_of_index);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto weight = t.load(row.out, k, row.K, 0);
      const auto prob = weight * inv_total;
      const auto onehot = t.select(t.equal(t.columns(k), row.index), t.set(1), t.set(0));
      const auto jacobian = prob * (delta(t, row, grad_at_index, weight, k) - dot);
      t.store(row.out, k, row.K,
              (against_mean * (onehot - prob) + of_jacobian * jacobian) * inv_tau);
    }
  }

  /// With two categories the uniform baseline makes the rule equal to zgr.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    return zgr::binary(t, e, p);
  }
};

}  // namespace gradthru::math
