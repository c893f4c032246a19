#pragma once

#include "math/estimators/st_zgr.h"

namespace gradthru::math {

/// (1 / 2 tau_f) [p delta - (p . delta) D], p = softmax(logits / tau_f).
struct zgr {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params&) {
    st_zgr::mixture(t, row, 1);
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params&) {
    // Half the probability of the state not drawn, which the mixture only reaches by a sum.
    const auto inv_tau = e.tau.inv_tau_f;
    return t.set(0.5) * sigmoid(t, -(e.sign() * e.logit * inv_tau)) * e.grad * inv_tau;
  }
};

}  // namespace gradthru::math
