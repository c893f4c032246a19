#pragma once

#include "math/estimators/gumbel_rao.h"

namespace gradthru::math {

/// Gumbel-softmax: (1/tau_b) J(s) g with s = softmax(logits / tau_b + G) (scaled_logits) or
/// softmax((logits + G) / tau_b) (scaled_sum), the Gumbels that drew the index. A given index makes
/// the Gumbels conditional on it.
struct gumbel_softmax {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const auto total = surrogate(t, row, p);
    softmax_vjp(t, row, row.scratch, total, inverse<Tile>(p.tau_b));
  }

  /// The relaxed sample s, in row.out.
  template <class Tile>
  GRADTHRU_HD static void forward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const auto inv_total = t.set(1) / surrogate(t, row, p);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      t.store(row.out, k, row.K, t.load(row.scratch, k, row.K, 0) * inv_total);
    }
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    return sigmoid_slope(t, perturbed(t, e, p)) * e.grad * inverse<Tile>(p.tau_b);
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary_forward(const Tile& t, const Element<Tile>& e,
                                                     const Params& p) {
    return sigmoid(t, perturbed(t, e, p));
  }

 private:
  /// Unnormalised s in row.scratch; returns its sum.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V surrogate(const Tile& t, const Row<Tile>& row,
                                                const Params& p) {
    if (row.given) return gumbel_rao::conditional_surrogate(t, row, p, 0, row.scratch);
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    const auto inv_tau = inverse<Tile>(p.tau_b);
    const auto maximum = row_maximum(t, row.logits, row.K);
    auto largest = t.set(minus_infinity);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto lead = t.load(row.logits, k, row.K, minus_infinity) - maximum;
      const auto gumbel = -t.log(t.exponential(row.stream, k));
      const auto value = p.scaled_sum() ? lead + gumbel : lead * inv_tau + gumbel;
      largest = t.max(largest, value);
      t.store(row.scratch, k, row.K, value);
    }
    return perturbed_exponentials(t, largest, maximum, p, row.scratch, row.K);
  }

  /// The argument of the sigmoid: the perturbed logit at the backward temperature.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V perturbed(const Tile& t, const Element<Tile>& e,
                                                const Params& p) {
    if (e.given) return gumbel_rao::binary_conditional(t, e, p, 0);
    const auto inv_tau = inverse<Tile>(p.tau_b);
    typename Tile::V log_v, log_1mv;
    t.logistic_pair(e.stream, e.column, &log_v, &log_1mv);
    const auto noise = log_v - log_1mv;
    return p.scaled_sum() ? (e.logit + noise) * inv_tau : e.logit * inv_tau + noise;
  }
};

}  // namespace gradthru::math
