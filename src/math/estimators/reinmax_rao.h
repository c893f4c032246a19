#pragma once

#include "math/estimators/gumbel_rao.h"

namespace gradthru::math {

/// 2 J_GR g - J(p) g / 2, p = softmax(logits): reinmax with its Jacobian at the midpoint (p + D)/2
/// replaced by the one that gumbel_rao averages there, at temperature tau (tau_b) with its 1/tau.
struct reinmax_rao {
  /// The midpoint's logits, then what gumbel_rao needs.
  static constexpr int64_t scratch_rows(int64_t) { return 3; }

  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const auto probs =
        softmax_weights(t, row, row_maximum(t, row.logits, row.K), t.set(1), row.out);
    const Midpoint<Tile> midpoint(t, row, p, probs);
    softmax_vjp(t, row, probs, t.set(-0.5));
    const typename gumbel_rao::Conditional<Tile> conditional(t, midpoint.row, midpoint.params);
    const auto draws = static_cast<int64_t>(p.samples);
    conditional.add_draws(t, midpoint.row, 0, draws, midpoint.share(t, 2, draws), true);
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    const BinaryMidpoint<Tile, Cursor> midpoint(t, e, p);
    const auto draws = static_cast<int64_t>(p.samples);
    const auto averaged = gumbel_rao::binary_average(t, midpoint.element, midpoint.params, draws);
    return t.set(2) * averaged - t.set(0.5) * sigmoid_slope(t, e.logit) * e.grad;
  }

  /// The parameters at the midpoint: the noise is scaled with the logits.
  GRADTHRU_HD static Params untempered(Params p) {
    p.noise = 0;
    return p;
  }

  /// The row as gumbel_rao sees it: its logits are those of the midpoint, in the first row of
  /// scratch.
  template <class Tile>
  struct Midpoint {
    Row<Tile> row;
    Params params;

    GRADTHRU_HD Midpoint(const Tile& t, const Row<Tile>& original, const Params& p,
                         const Weights<Tile>& probs)
        : row(original), params(untempered(p)) {
      t.each(row.K, [&](auto k) {
        const auto drawn = t.select(t.is(k, row.index), t.set(0.5), t.set(0));
        const auto half_prob = t.set(0.5) * t.load(probs.of, k) * probs.inverse_total;
        t.store(original.scratch, k, t.log(half_prob + drawn));
      });
      row.logits = original.scratch;
      row.scratch = original.scratch + Tile::row_size(row.K);
    }

    /// of / (tau draws)
    GRADTHRU_HD typename Tile::V share(const Tile& t, double of, int64_t draws) const {
      return t.set(of / static_cast<double>(draws)) * row.tau.inv_tau_b;
    }
  };

  /// The element as gumbel_rao sees it. With m the probability of the state not drawn, the midpoint
  /// has (2 - m)/2 for the one drawn and m/2 for the other.
  template <class Tile, class Cursor>
  struct BinaryMidpoint {
    Element<Tile, Cursor> element;
    Params params;

    GRADTHRU_HD BinaryMidpoint(const Tile& t, const Element<Tile, Cursor>& original,
                               const Params& p)
        : element(original), params(untempered(p)) {
      const auto lead = original.sign() * original.logit;
      const auto of_drawn = t.log1p(sigmoid(t, lead));
      const auto of_other = -(t.max(lead, t.set(0)) + t.log1p(t.exp(-t.abs(lead))));
      element.logit = original.sign() * (of_drawn - of_other);
    }
  };
};

}  // namespace gradthru::math
