#pragma once

#include "math/estimators/st.h"

namespace gradthru::math {

/// Gapped straight-through: (1/tau_b) J(softmax(a / tau_b)) g with a_index = M, the largest logit,
/// and a_k = min(logits_k, M - tau_f gap) elsewhere, so that the sample wins by the gap.
struct gst {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    if (p.consistent == 0) return st::backward(t, row, p);
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto below = row_gap(t, row, maximum, p);
    const auto top =
        maximum - maximum;  // 0; NaN in an invalid row must survive the sample's choice
    const auto weights = weigh(t, row, row.out, [&](auto k) {
      const auto gapped = t.min(t.load(row.logits, k) - maximum, -below);
      return t.exp(t.select(t.is(k, row.index), top, gapped) * row.tau.inv_tau_b);
    });
    softmax_vjp(t, row, weights, row.tau.inv_tau_b);
    if (p.detach == 0) pass_to_argmax(t, row, maximum, below);
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    if (p.consistent == 0) return st::binary(t, e, p);
    const auto lead = e.sign() * e.logit;
    auto gap = t.set(p.gap);
    if (p.gap_from_probability()) {
      const auto scaled = lead * e.tau.inv_tau_f;
      gap = gap_of(t, sigmoid(t, scaled), sigmoid(t, -scaled));
    }
    const auto below = e.tau.tau_f * gap;
    const auto grad =
        sigmoid_slope(t, t.max(lead, below) * e.tau.inv_tau_b) * e.grad * e.tau.inv_tau_b;
    if (p.detach != 0) return grad;
    // Where the sample did not lead by the gap, both shares meet at the argmax and cancel; on a tie
    // that is the category of b = 1.
    const auto tie = t.both(t.equal(e.logit, t.set(0)), t.equal(e.on, t.set(0)));
    return t.select(t.either(tie, t.less(lead, below)), t.set(0), grad);
  }

 private:
  /// -log(1 - p)/p: the expected lead of the winner over the runner-up, given that a category of
  /// probability p won; 1 at p = 0. `rest` is 1 - p, computed without cancellation.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V gap_of(const Tile& t, typename Tile::V prob,
                                             typename Tile::V rest) {
    const auto p = t.min(prob, t.set(1 - 1e-5));
    const auto log_rest =
        t.select(t.less(p, t.set(0.5)), t.log1p(-p), t.log(t.max(rest, t.set(1e-5))));
    return t.select(t.less(t.set(0), p), -log_rest / p, t.set(1) + p);
  }

  /// tau_f times the gap of this row.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V row_gap(const Tile& t, const Row<Tile>& row,
                                              typename Tile::V maximum, const Params& p) {
    if (!p.gap_from_probability()) return row.tau.tau_f * t.set(p.gap);
    const auto weight_at = [&](auto k) {
      return exponential_weight(t, row.logits, maximum, row.tau.inv_tau_f, k);
    };
    const auto sums = t.sum(row.K, [&](auto k) {
      const auto weight = weight_at(k);
      const auto drawn = t.is(k, row.index);
      return Sums<typename Tile::V, 2>{
          {t.select(drawn, weight, t.set(0)), t.select(drawn, t.set(0), weight)}};
    });
    const auto inverse_total = t.set(1) / (sums.of[0] + sums.of[1]);
    return row.tau.tau_f * gap_of(t, sums.of[0] * inverse_total, sums.of[1] * inverse_total);
  }

  /// detach = false: the sample and every category that was lowered take their value from the
  /// largest logit, so their share of the gradient goes to it (the lowest index on ties).
  template <class Tile>
  GRADTHRU_HD static void pass_to_argmax(const Tile& t, const Row<Tile>& row,
                                         typename Tile::V maximum, typename Tile::V below) {
    const auto leader =
        t.first(row.K, [&](auto k) { return t.equal(t.load(row.logits, k), maximum); });
    const auto moved = [&](auto k) {
      return t.either(t.is(k, row.index), t.less(maximum - below, t.load(row.logits, k)));
    };
    const auto passed =
        t.sum(row.K, [&](auto k) { return t.select(moved(k), t.load(row.out, k), t.set(0)); });
    t.each(row.K, [&](auto k) {
      const auto share = t.load(row.out, k);
      const auto kept = t.select(moved(k), share * t.set(0), share);
      t.store(row.out, k, kept + t.select(t.is(k, leader), passed, t.set(0)));
    });
  }
};

}  // namespace gradthru::math
