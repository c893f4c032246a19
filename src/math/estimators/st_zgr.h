#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// (1 - alpha/2) st + (alpha/2) darn at one temperature:
/// (1/tau_f) [(1 - alpha/2) p delta - (1 - alpha) (p . delta) p - (alpha/2) (p . delta) D].
struct st_zgr {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    mixture(t, row, p.tau_f, p.alpha);
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    return binary_mixture(t, e, p.tau_f, p.alpha);
  }

  /// The family's gradient; zgr (alpha = 1) and darn (alpha = 2) are members of it.
  template <class Tile>
  GRADTHRU_HD static void mixture(const Tile& t, const Row<Tile>& row, double tau_f, double alpha) {
    const auto inv_tau = inverse<Tile>(tau_f);
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto total = exponentials(t, row.logits, maximum, inv_tau, row.out, row.K);
    const auto inv_total = t.set(1) / total;
    const auto dot = delta_dot(t, row, row.out) * inv_total;
    const auto grad_at_index = t.at(row.grad, row.index, row.K);
    const auto of_delta = t.set(1 - alpha / 2);
    const auto of_prob = t.set(1 - alpha) * dot;
    const auto at_index = t.set(alpha / 2) * dot;
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto weight = t.load(row.out, k, row.K, 0);
      const auto spread = of_delta * delta(t, row, grad_at_index, weight, k) - of_prob;
      const auto drawn = t.select(t.equal(t.columns(k), row.index), at_index, t.set(0));
      t.store(row.out, k, row.K, (weight * inv_total * spread - drawn) * inv_tau);
    }
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary_mixture(const Tile& t, const Element<Tile>& e,
                                                     double tau_f, double alpha) {
    const auto inv_tau = inverse<Tile>(tau_f);
    const auto a = e.logit * inv_tau;
    const auto missed = sigmoid(t, -(e.sign() * a));  // |b - p|, the probability of the other state
    const auto slope =
        t.set(1 - alpha / 2) * sigmoid_slope(t, a) + t.set(alpha / 2) * missed * missed;
    return slope * e.grad * inv_tau;
  }
};

}  // namespace gradthru::math
