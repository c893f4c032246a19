#pragma once

#include "math/estimators/st_zgr.h"

namespace gradthru::math {

/// -(1/tau_f) (p . delta) (D - p), p = softmax(logits / tau_f).
struct darn {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    st_zgr::mixture(t, row, p.tau_f, 2);
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    return st_zgr::binary_mixture(t, e, p.tau_f, 2);
  }
};

}  // namespace gradthru::math
