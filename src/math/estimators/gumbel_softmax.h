#pragma once

#include "math/estimators/gumbel_rao.h"

namespace gradthru::math {

/// Gumbel-softmax: (1/tau_b) J(s) g with s = softmax(logits / tau_b + G) (scaled_logits) or
/// softmax((logits + G) / tau_b) (scaled_sum), the Gumbels that drew the index. A given index makes
/// the Gumbels conditional on it.
struct gumbel_softmax {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    softmax_vjp(t, row, surrogate(t, row, p), row.tau.inv_tau_b);
  }

  /// The relaxed sample s, in row.out. `row.grad` may be anything that can be read, such as the
  /// logits.
  template <class Tile>
  GRADTHRU_HD static void forward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const auto weights = surrogate(t, row, p);
    t.each(row.K,
           [&](auto k) { t.store(row.out, k, t.load(weights.of, k) * weights.inverse_total); });
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    return sigmoid_slope(t, perturbed(t, e, p)) * e.grad * e.tau.inv_tau_b;
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary_forward(const Tile& t, const Element<Tile, Cursor>& e,
                                                     const Params& p) {
    return sigmoid(t, perturbed(t, e, p));
  }

  /// The unnormalised s, in row.scratch.
  template <class Tile>
  GRADTHRU_HD static Weights<Tile> surrogate(const Tile& t, const Row<Tile>& row, const Params& p) {
    if (row.given) return gumbel_rao::Conditional<Tile>(t, row, p).draw(t, row, 0);
    const auto maximum = row_maximum(t, row.logits, row.K);
    if (!p.scaled_sum() || p.tau_b == 1) {
      // A race: exp(logits / tau_b + G) = exp(logits / tau_b) / E.
      return weigh(t, row, row.scratch, [&](auto k) {
        return exponential_weight(t, row.logits, maximum, row.tau.inv_tau_b, k) /
               t.exponential(row.stream, k);
      });
    }
    // The temperature scales the differences from the largest, which cannot overflow.
    const auto largest = t.largest(row.K, [&](auto k) {
      const auto value = t.load(row.logits, k) - maximum - t.log(t.exponential(row.stream, k));
      t.store(row.scratch, k, value);
      return value;
    });
    const auto top = largest + t.set(0) * maximum;  // NaN in an invalid row
    return weigh(t, row, row.scratch,
                 [&](auto k) { return t.exp((t.load(row.scratch, k) - top) * row.tau.inv_tau_b); });
  }

 private:
  /// The argument of the sigmoid: the perturbed logit at the backward temperature.
  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V perturbed(const Tile& t, const Element<Tile, Cursor>& e,
                                                const Params& p) {
    if (e.given) return gumbel_rao::binary_conditional(t, e, p, 0);
    typename Tile::V log_v, log_1mv;
    t.logistic_pair(e.stream, e.column, &log_v, &log_1mv);
    const auto noise = log_v - log_1mv;
    return p.scaled_sum() ? (e.logit + noise) * e.tau.inv_tau_b : e.logit * e.tau.inv_tau_b + noise;
  }
};

}  // namespace gradthru::math
