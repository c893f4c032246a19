#pragma once

#include "math/estimators/zgr.h"

namespace gradthru::math {

/// (1/tau_f) [<g, D - 1/K> (D - p) / 2 + J(p) g / (2 K p_index)], p = softmax(logits / tau_f).
struct reinmax_uniform {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params&) {
    const auto lowest = t.set(-std::numeric_limits<double>::infinity());
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto weights = softmax_weights(t, row, maximum, row.tau.inv_tau_f, row.out);
    const auto grad_at_index = t.at(row.grad, row.index);
    const auto sums = t.sum(row.K, [&](auto k) {
      const auto exists = t.less(lowest, t.load(row.logits, k));
      const auto one = t.select(exists, t.set(1), t.set(0));
      return Sums<typename Tile::V, 2>{{one, delta(t, row, grad_at_index, one, k)}};
    });
    const auto count = sums.of[0];
    const auto against_mean = t.set(-0.5) * sums.of[1] / count;  // <g, D - 1/K> / 2
    const auto prob_of_index = t.at(row.out, row.index) * weights.inverse_total;
    const auto of_jacobian = t.set(0.5) / (count * prob_of_index);
    t.each(row.K, [&](auto k) {
      const auto weight = t.load(row.out, k);
      const auto prob = weight * weights.inverse_total;
      const auto onehot = t.select(t.is(k, row.index), t.set(1), t.set(0));
      const auto jacobian = prob * (delta(t, row, grad_at_index, weight, k) - weights.mean);
      t.store(row.out, k,
              (against_mean * (onehot - prob) + of_jacobian * jacobian) * row.tau.inv_tau_f);
    });
  }

  /// With two categories the uniform baseline makes the rule equal to zgr.
  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    return zgr::binary(t, e, p);
  }
};

}  // namespace gradthru::math
