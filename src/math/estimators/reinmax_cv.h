#pragma once

#include "math/estimators/gumbel_softmax.h"
#include "math/estimators/reinmax_rao.h"

namespace gradthru::math {

/// zgr + eta (J_GR - J_1) g with p = softmax(logits), J_GR as in reinmax_rao, J_1 the same Jacobian
/// from one draw more: given the sample, or free of it. The one more stands after the others in the
/// random stream.
struct reinmax_cv {
  static constexpr int64_t scratch_rows(int64_t K) { return reinmax_rao::scratch_rows(K); }

  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const auto probs =
        softmax_weights(t, row, row_maximum(t, row.logits, row.K), t.set(1), row.out);
    const reinmax_rao::Midpoint<Tile> midpoint(t, row, p, probs);
    write_zgr(t, row, probs);
    const typename gumbel_rao::Conditional<Tile> conditional(t, midpoint.row, midpoint.params);
    const auto draws = static_cast<int64_t>(p.samples);
    conditional.add_draws(t, midpoint.row, 0, draws, midpoint.share(t, p.eta, draws), true);
    const auto of_last = midpoint.share(t, -p.eta, 1);
    if (p.draw == 0) {
      conditional.add_draws(t, midpoint.row, draws, draws + 1, of_last, true);
    } else {
      auto free = midpoint.row;
      free.given = false;
      free.stream.offset += 1 + static_cast<uint64_t>(draws);
      softmax_vjp(t, free, gumbel_softmax::surrogate(t, free, midpoint.params), of_last, true);
    }
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    const reinmax_rao::BinaryMidpoint<Tile, Cursor> midpoint(t, e, p);
    const auto draws = static_cast<int64_t>(p.samples);
    const auto averaged = gumbel_rao::binary_average(t, midpoint.element, midpoint.params, draws);
    auto last = midpoint.element;
    last.given = p.draw == 0;
    last.stream.offset += static_cast<uint64_t>(draws) + (last.given ? 0 : 1);
    const auto one = gumbel_softmax::binary(t, last, midpoint.params);
    const auto zgr = t.set(0.5) * sigmoid(t, -(e.sign() * e.logit)) * e.grad;
    return zgr + t.set(p.eta) * (averaged - one);
  }

 private:
  /// (1/2) [p delta - (p . delta) D]
  template <class Tile>
  GRADTHRU_HD static void write_zgr(const Tile& t, const Row<Tile>& row,
                                    const Weights<Tile>& probs) {
    const auto grad_at_index = t.at(row.grad, row.index);
    const auto half = t.set(0.5) * probs.inverse_total, at_index = t.set(0.5) * probs.mean;
    t.each(row.K, [&](auto k) {
      const auto weight = t.load(probs.of, k);
      const auto drawn = t.select(t.is(k, row.index), at_index, t.set(0));
      t.store(row.out, k, weight * half * delta(t, row, grad_at_index, weight, k) - drawn);
    });
  }
};

}  // namespace gradthru::math
