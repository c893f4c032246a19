#pragma once

#include "math/estimators/st_zgr.h"

namespace gradthru::math {

/// (1 / 2 tau_f) [p delta - (p . delta) D], p = softmax(logits / tau_f).
struct zgr {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    st_zgr::mixture(t, row, p.tau_f, 1);
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    // Half the probability of the state not drawn, which the mixture only reaches by a sum.
    const auto inv_tau = inverse<Tile>(p.tau_f);
    return t.set(0.5) * sigmoid(t, -(e.sign() * e.logit * inv_tau)) * e.grad * inv_tau;
  }
};

}  // namespace gradthru::math
