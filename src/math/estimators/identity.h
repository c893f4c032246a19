#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// Identity straight-through: g, neither projected nor scaled.
struct identity {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params&) {
    // Where the probability is 0 at every temperature the category does not exist.
    const double infinity = std::numeric_limits<double>::infinity();
    const auto valid = row_maximum(t, row.logits, row.K) * t.set(0);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto exists = t.less(t.set(-infinity), t.load(row.logits, k, row.K, 0));
      const auto grad = t.load(row.grad, k, row.K, 0) + valid;
      t.store(row.out, k, row.K, t.select(exists, grad, valid));
    }
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e, const Params&) {
    return t.select(t.equal(e.logit, e.logit), e.grad, e.logit);
  }
};

}  // namespace gradthru::math
