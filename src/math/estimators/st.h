#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// Straight-through: (1/tau_b) J(softmax(logits / tau_b)) g.
struct st {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const auto inv_tau = inverse<Tile>(p.tau_b);
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto total = exponentials(t, row.logits, maximum, inv_tau, row.out, row.K);
    softmax_vjp(t, row, row.out, total, inv_tau);
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    const auto inv_tau = inverse<Tile>(p.tau_b);
    return sigmoid_slope(t, e.logit * inv_tau) * e.grad * inv_tau;
  }
};

}  // namespace gradthru::math
