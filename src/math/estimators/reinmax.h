#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// (1/tau_f) [q (delta - q . delta / 2) - (q . delta / 2) D - p (delta - p . delta) / 2] with
/// q = softmax(logits / tau_b), p = softmax(logits / tau_f): Heun's method, without a factor
/// 1/tau_b.
struct reinmax {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params&) {
    using V = typename Tile::V;
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto grad_at_index = t.at(row.grad, row.index);
    const auto sums = t.sum(row.K, [&](auto k) {
      const auto lead = t.load(row.logits, k) - maximum;
      const auto q = t.exp(lead * row.tau.inv_tau_b);
      const auto p = t.exp(lead * row.tau.inv_tau_f);
      t.store(row.out, k, q);
      t.store(row.scratch, k, p);
      const auto d = delta(t, row, grad_at_index, t.max(q, p), k);
      return Sums<V, 4>{{q, q * d, p, p * d}};
    });
    const auto q_scale = row.tau.inv_tau_f / sums.of[0];
    const auto p_scale = row.tau.inv_tau_f * t.set(0.5) / sums.of[2];  // half of p
    const auto q_mean = t.set(0.5) * sums.of[1] / sums.of[0];
    const auto p_mean = sums.of[3] / sums.of[2];
    const auto at_index = q_mean * row.tau.inv_tau_f;
    t.each(row.K, [&](auto k) {
      const auto q = t.load(row.out, k) * q_scale;
      const auto p = t.load(row.scratch, k) * p_scale;
      const auto d = delta(t, row, grad_at_index, t.max(q, p), k);
      const auto drawn = t.select(t.is(k, row.index), at_index, t.set(0));
      t.store(row.out, k, q * (d - q_mean) - drawn - p * (d - p_mean));
    });
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params&) {
    const auto a = e.logit * e.tau.inv_tau_b;
    const auto missed = sigmoid(t, -(e.sign() * a));  // |b - q|
    const auto slope = sigmoid_slope(t, a) + t.set(0.5) * missed * missed -
                       t.set(0.5) * sigmoid_slope(t, e.logit * e.tau.inv_tau_f);
    return slope * e.grad * e.tau.inv_tau_f;
  }
};

}  // namespace gradthru::math
