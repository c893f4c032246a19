#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// Identity straight-through: g, neither projected nor scaled.
struct identity {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params&) {
    // A category whose probability is 0 at every temperature does not exist.
    const auto lowest = t.set(-std::numeric_limits<double>::infinity());
    const auto valid = row_maximum(t, row.logits, row.K) * t.set(0);
    t.each(row.K, [&](auto k) {
      const auto exists = t.less(lowest, t.load(row.logits, k));
      t.store(row.out, k, t.select(exists, t.load(row.grad, k) + valid, valid));
    });
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params&) {
    return t.select(t.equal(e.logit, e.logit), e.grad, e.logit);
  }
};

}  // namespace gradthru::math
