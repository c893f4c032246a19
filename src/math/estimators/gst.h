#pragma once

#include "math/estimators/st.h"

namespace gradthru::math {

/// Gapped straight-through: (1/tau_b) J(softmax(a / tau_b)) g with a_index = M, the largest logit,
/// and a_k = min(logits_k, M - tau_f gap) elsewhere, so that the sample wins by the gap.
struct gst {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    if (p.consistent == 0) return st::backward(t, row, p);
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    const auto inv_tau = inverse<Tile>(p.tau_b);
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto below = row_gap(t, row, maximum, p);
    auto total = t.set(0);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto lead = t.load(row.logits, k, row.K, minus_infinity) - maximum;
      const auto gapped = t.min(lead, -below);
      const auto drawn = t.equal(t.columns(k), row.index);
      // NaN in an invalid row must survive the choice of the sample.
      const auto weight = t.exp(t.select(drawn, maximum - maximum, gapped) * inv_tau);
      total = total + weight;
      t.store(row.out, k, row.K, weight);
    }
    softmax_vjp(t, row, row.out, t.sum(total), inv_tau);
    if (p.detach == 0) pass_to_argmax(t, row, maximum, below);
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    if (p.consistent == 0) return st::binary(t, e, p);
    const auto inv_tau = inverse<Tile>(p.tau_b);
    const auto lead = e.sign() * e.logit;
    auto gap = t.set(p.gap);
    if (p.gap_from_probability()) {
      const auto scaled = lead * inverse<Tile>(p.tau_f);
      gap = gap_of(t, sigmoid(t, scaled), sigmoid(t, -scaled));
    }
    const auto below = t.set(p.tau_f) * gap;
    const auto grad = sigmoid_slope(t, t.max(lead, below) * inv_tau) * e.grad * inv_tau;
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
    if (!p.gap_from_probability()) return t.set(p.tau_f) * t.set(p.gap);
    exponentials(t, row.logits, maximum, inverse<Tile>(p.tau_f), row.out, row.K);
    auto others = t.set(0);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto drawn = t.equal(t.columns(k), row.index);
      others = others + t.select(drawn, t.set(0), t.load(row.out, k, row.K, 0));
    }
    others = t.sum(others);
    const auto weight = t.at(row.out, row.index, row.K);
    const auto inv_total = t.set(1) / (others + weight);
    return t.set(p.tau_f) * gap_of(t, weight * inv_total, others * inv_total);
  }

  /// detach = false: the sample and every category that was lowered take their value from the
  /// largest logit, so their share of the gradient goes to it (the lowest index on ties).
  template <class Tile>
  GRADTHRU_HD static void pass_to_argmax(const Tile& t, const Row<Tile>& row,
                                         typename Tile::V maximum, typename Tile::V below) {
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    auto passed = t.set(0);
    auto leader = t.integer(row.K);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto logit = t.load(row.logits, k, row.K, minus_infinity);
      const auto column = t.columns(k);
      leader = t.min(leader, t.select(t.equal(logit, maximum), column, t.integer(row.K)));
      const auto moved = t.either(t.equal(column, row.index), t.less(maximum - below, logit));
      const auto share = t.load(row.out, k, row.K, 0);
      passed = passed + t.select(moved, share, t.set(0));
      t.store(row.out, k, row.K, t.select(moved, share * t.set(0), share));
    }
    passed = t.sum(passed);
    leader = t.minimum(leader);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto here = t.equal(t.columns(k), leader);
      const auto share = t.load(row.out, k, row.K, 0);
      t.store(row.out, k, row.K, share + t.select(here, passed, t.set(0)));
    }
  }
};

}  // namespace gradthru::math
