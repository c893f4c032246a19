#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// (1/tau_f) [q (delta - q . delta / 2) - (q . delta / 2) D - p (delta - p . delta) / 2] with
/// q = softmax(logits / tau_b), p = softmax(logits / tau_f): Heun's method, without a factor
/// 1/tau_b.
struct reinmax {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const auto inv_tau = inverse<Tile>(p.tau_f);
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto q_total =
        exponentials(t, row.logits, maximum, inverse<Tile>(p.tau_b), row.out, row.K);
    const auto p_total = exponentials(t, row.logits, maximum, inv_tau, row.scratch, row.K);
    const auto q_scale = t.set(1) / q_total;
    const auto p_scale = t.set(0.5) / p_total;  // half of p
    const auto q_dot = t.set(0.5) * delta_dot(t, row, row.out) * q_scale;
    const auto p_dot = delta_dot(t, row, row.scratch) / p_total;
    const auto grad_at_index = t.at(row.grad, row.index, row.K);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto q_weight = t.load(row.out, k, row.K, 0);
      const auto p_weight = t.load(row.scratch, k, row.K, 0);
      const auto either = t.max(q_weight, p_weight);
      const auto d = delta(t, row, grad_at_index, either, k);
      const auto drawn = t.select(t.equal(t.columns(k), row.index), q_dot, t.set(0));
      const auto result =
          q_weight * q_scale * (d - q_dot) - drawn - p_weight * p_scale * (d - p_dot);
      t.store(row.out, k, row.K, result * inv_tau);
    }
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    const auto inv_tau = inverse<Tile>(p.tau_f);
    const auto a = e.logit * inverse<Tile>(p.tau_b);
    const auto missed = sigmoid(t, -(e.sign() * a));
    const auto slope = sigmoid_slope(t, a) + t.set(0.5) * missed * missed -
                       t.set(0.5) * sigmoid_slope(t, e.logit * inv_tau);
    return slope * e.grad * inv_tau;
  }
};

}  // namespace gradthru::math
