#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// Gumbel-Rao: (1/tau_b) mean over M draws of J(s_m) g, where s_m is the surrogate of ST-GS for
/// Gumbels drawn given that the sample wins. The draws are constants: nothing is differentiated
/// through them. Draw m is regenerated at offset + 1 + m, so memory does not grow with M.
struct gumbel_rao {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    average(t, row, p, static_cast<int64_t>(p.samples));
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile>& e,
                                             const Params& p) {
    return binary_average(t, e, p, static_cast<int64_t>(p.samples));
  }

  template <class Tile>
  GRADTHRU_HD static void average(const Tile& t, const Row<Tile>& row, const Params& p,
                                  int64_t draws) {
    const auto scale = inverse<Tile>(p.tau_b) / t.set(static_cast<double>(draws));
    for (int64_t m = 0; m < draws; ++m) {
      const auto total = conditional_surrogate(t, row, p, m, row.scratch);
      softmax_vjp(t, row, row.scratch, total, scale, m > 0);
    }
  }

  /// Unnormalised surrogate of inner draw m; returns its sum. With w the unnormalised weights of
  /// the index's law and Z their sum, the Gumbels given that the index x wins are
  ///   G_k = -log(E_k + E_x w_k / Z) for k != x and G_x = log Z - log E_x - log w_x.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V conditional_surrogate(const Tile& t, const Row<Tile>& row,
                                                            const Params& p, int64_t m,
                                                            typename Tile::Real* surrogate) {
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    const auto inv_law = p.scaled_sum() ? t.set(1) : inverse<Tile>(p.tau_f);
    const auto inv_tau = inverse<Tile>(p.tau_b);
    auto stream = row.stream;
    stream.offset += 1 + static_cast<uint64_t>(m);
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto total = exponentials(t, row.logits, maximum, inv_law, surrogate, row.K);
    // E_x is broadcast from its cell: every lane of the row needs it.
    const auto of_index = t.exponential_at(stream, row.index);
    const auto logit_of_index = (t.at(row.logits, row.index, row.K) - maximum) * inv_law;
    const auto gumbel_of_index = t.log(total) - t.log(of_index) - logit_of_index;
    auto largest = t.set(minus_infinity);
    for (int64_t k = 0; k < row.K; k += Tile::width) {
      const auto weight = t.load(surrogate, k, row.K, 0);
      const auto other = -t.log(t.exponential(stream, k) + of_index * weight / total);
      const auto gumbel = t.select(t.equal(t.columns(k), row.index), gumbel_of_index, other);
      const auto lead = t.load(row.logits, k, row.K, minus_infinity) - maximum;
      const auto value = p.scaled_sum() ? lead + gumbel : lead * inv_tau + gumbel;
      largest = t.max(largest, value);
      t.store(surrogate, k, row.K, value);
    }
    return perturbed_exponentials(t, largest, maximum, p, surrogate, row.K);
  }

  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary_average(const Tile& t, const Element<Tile>& e,
                                                     const Params& p, int64_t draws) {
    const auto inv_tau = inverse<Tile>(p.tau_b);
    auto slope = t.set(0);
    for (int64_t m = 0; m < draws; ++m) {
      slope = slope + sigmoid_slope(t, binary_conditional(t, e, p, m));
    }
    return slope / t.set(static_cast<double>(draws)) * e.grad * inv_tau;
  }

  /// The argument of the sigmoid in inner draw m: the perturbed logit z given the sample's sign,
  /// taken to the backward temperature.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V binary_conditional(const Tile& t, const Element<Tile>& e,
                                                         const Params& p, int64_t m) {
    auto stream = e.stream;
    stream.offset += 1 + static_cast<uint64_t>(m);
    typename Tile::V log_u, log_1mu;
    t.logistic_pair(stream, e.column, &log_u, &log_1mu);
    const auto inv_law = p.scaled_sum() ? t.set(1) : inverse<Tile>(p.tau_f);
    const auto inv_tau = inverse<Tile>(p.tau_b);
    const auto logit = e.logit * inv_law;
    const auto if_on = softplus(t, logit + log_u) - log_1mu;
    const auto if_off = log_u - softplus(t, log_1mu - logit);
    const auto z = t.select(t.less(t.set(0), e.on), if_on, if_off);
    return p.scaled_sum() ? z * inv_tau : z + (e.logit * inv_tau - logit);
  }

 private:
  template <class Tile>
  GRADTHRU_HD static typename Tile::V softplus(const Tile& t, typename Tile::V a) {
    return t.max(a, t.set(0)) + t.log1p(t.exp(-t.abs(a)));
  }
};

}  // namespace gradthru::math
