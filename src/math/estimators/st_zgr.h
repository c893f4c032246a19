#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// (1 - alpha/2) st + (alpha/2) darn at one temperature; with p = softmax(logits / tau_f)
///   (1/tau_f) [p ((1 - alpha/2) delta - (1 - alpha) p . delta) - (alpha/2) (p . delta) D].
struct st_zgr {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    mixture(t, row, p.alpha);
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    return binary_mixture(t, e, p.alpha);
  }

  /// The family's gradient; zgr (alpha = 1) and darn (alpha = 2) are members of it.
  template <class Tile>
  GRADTHRU_HD static void mixture(const Tile& t, const Row<Tile>& row, double alpha) {
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto weights = softmax_weights(t, row, maximum, row.tau.inv_tau_f, row.out);
    const auto grad_at_index = t.at(row.grad, row.index);
    const auto factor = weights.inverse_total * row.tau.inv_tau_f;
    const auto of_delta = t.set(1 - alpha / 2);
    const auto of_prob = t.set(1 - alpha) * weights.mean;
    const auto at_index = t.set(alpha / 2) * weights.mean * row.tau.inv_tau_f;
    t.each(row.K, [&](auto k) {
      const auto weight = t.load(weights.of, k);
      const auto spread = of_delta * delta(t, row, grad_at_index, weight, k) - of_prob;
      const auto drawn = t.select(t.is(k, row.index), at_index, t.set(0));
      t.store(row.out, k, weight * factor * spread - drawn);
    });
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary_mixture(const Tile& t, const Element<Tile, Cursor>& e,
                                                     double alpha) {
    const auto a = e.logit * e.tau.inv_tau_f;
    const auto missed = sigmoid(t, -(e.sign() * a));  // |b - p|, the probability of the other state
    const auto slope =
        t.set(1 - alpha / 2) * sigmoid_slope(t, a) + t.set(alpha / 2) * missed * missed;
    return slope * e.grad * e.tau.inv_tau_f;
  }
};

}  // namespace gradthru::math
