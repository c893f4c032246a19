#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// Straight-through: (1/tau_b) J(softmax(logits / tau_b)) g.
struct st {
  using IgnoresLaw = void;

  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params&) {
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto weights = softmax_weights(t, row, maximum, row.tau.inv_tau_b, row.out);
    softmax_vjp(t, row, weights, row.tau.inv_tau_b);
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params&) {
    return sigmoid_slope(t, e.logit * e.tau.inv_tau_b) * e.grad * e.tau.inv_tau_b;
  }
};

}  // namespace gradthru::math
