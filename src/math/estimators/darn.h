#pragma once

#include "math/estimators/st_zgr.h"

namespace gradthru::math {

/// -(1/tau_f) (p . delta) (D - p), p = softmax(logits / tau_f).
struct darn {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params&) {
    st_zgr::mixture(t, row, 2);
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params&) {
    return st_zgr::binary_mixture(t, e, 2);
  }
};

}  // namespace gradthru::math
