#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// Gumbel-Rao: (1/tau_b) mean over M draws of J(s_m) g, where s_m is the surrogate of ST-GS for
/// Gumbels drawn given that the sample wins. The draws are constants: nothing is differentiated
/// through them. Draw m is regenerated at offset + 1 + m, so memory does not grow with M.
struct gumbel_rao {
  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    const Conditional<Tile> conditional(t, row, p);
    const auto draws = static_cast<int64_t>(p.samples);
    conditional.add_draws(t, row, 0, draws, row.tau.inv_tau_b / t.set(static_cast<double>(draws)),
                          false);
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    return binary_average(t, e, p, static_cast<int64_t>(p.samples));
  }

  /// The law of the surrogate given the index x. With w the unnormalised weights of the index's
  /// law, p = w / Z, and E iid Exp(1), the perturbed logits given that x wins are, up to a
  /// constant,
  ///   a_k = l_k - log(E_k + E_x p_k) for k != x and a_x = log Z - log E_x.
  /// Holds p in the first row of scratch and a draw's surrogate in the second.
  template <class Tile>
  class Conditional {
   public:
    using V = typename Tile::V;

    GRADTHRU_HD Conditional(const Tile& t, const Row<Tile>& row, const Params& p)
        : probs_(row.scratch),
          surrogate_(row.scratch + Tile::row_size(row.K)),
          scaled_sum_(p.scaled_sum()),
          power_(power_of(p)) {
      maximum_ = row_maximum(t, row.logits, row.K);
      const V inv_law = scaled_sum_ ? t.set(1) : row.tau.inv_tau_f;
      const V total = exponentials(t, row.logits, maximum_, inv_law, probs_, row.K);
      const V inverse_total = t.set(1) / total;
      t.each(row.K, [&](auto k) { t.store(probs_, k, t.load(probs_, k) * inverse_total); });
      log_total_ = t.log(total);
      // exp(a_x) at the backward temperature, without the draw.
      const V lead = t.at(row.logits, row.index) - maximum_;
      log_of_index_ = lead * (row.tau.inv_tau_b - row.tau.inv_tau_f) + log_total_;
    }

    /// Adds scale * sum over draws m in [begin, end) of J(s_m) g to out, or writes it there.
    GRADTHRU_HD void add_draws(const Tile& t, const Row<Tile>& row, int64_t begin, int64_t end,
                               V scale, bool accumulate) const {
      for (int64_t m = begin; m < end; ++m) {
        softmax_vjp(t, row, draw(t, row, m), scale, accumulate || m > begin);
      }
    }

    /// The unnormalised surrogate of inner draw m.
    GRADTHRU_HD Weights<Tile> draw(const Tile& t, const Row<Tile>& row, int64_t m) const {
      auto stream = row.stream;
      stream.offset += 1 + static_cast<uint64_t>(m);
      t.each(row.K, [&](auto k) { t.store(surrogate_, k, t.exponential(stream, k)); });
      const V of_index = t.at(surrogate_, row.index);
      return scaled_sum_ ? untempered_law(t, row, of_index) : tempered_law(t, row, of_index);
    }

   private:
    enum class Power { one, two, general };

    /// 1/tau_b, where that is 1 or 2 in every row.
    GRADTHRU_HD static Power power_of(const Params& p) {
      return p.tau_b == 1 ? Power::one : p.tau_b == 0.5 ? Power::two : Power::general;
    }

    /// softmax(a / tau_b) in ratio to the sample: s_k = (1 + E_k / (p_k E_x))^(-1/tau_b) <= s_x
    /// = 1.
    GRADTHRU_HD Weights<Tile> untempered_law(const Tile& t, const Row<Tile>& row,
                                             V of_index) const {
      const V one = t.set(1) + t.set(0) * maximum_;  // NaN in an invalid row
      const auto weight_with = [&](const auto& ratio_at) {
        return weigh(t, row, surrogate_,
                     [&](auto k) { return t.select(t.is(k, row.index), one, ratio_at(k)); });
      };
      if (power_ == Power::general) {
        const V log_scale = t.log(of_index) - log_total_;
        return weight_with([&](auto k) {
          const V rest = t.fma(of_index, t.load(probs_, k), t.load(surrogate_, k));
          const V lead = t.load(row.logits, k) - maximum_;
          return t.exp((lead + log_scale - t.log(rest)) * row.tau.inv_tau_b);
        });
      }
      const bool squared = power_ == Power::two;
      return weight_with([&](auto k) {
        const V share = of_index * t.load(probs_, k);
        const V ratio = share / (share + t.load(surrogate_, k));
        return squared ? ratio * ratio : ratio;
      });
    }

    /// softmax(logits / tau_b + a - l): the noise of the tempered law, the logits at tau_b. The
    /// sample's share can be beyond any number; then all are scaled down by it.
    GRADTHRU_HD Weights<Tile> tempered_law(const Tile& t, const Row<Tile>& row, V of_index) const {
      const V log_share = log_of_index_ - t.log(of_index);
      const V shift = t.max(log_share, t.set(0));
      const V scale = t.exp(-shift);
      const V share_of_index = t.exp(log_share - shift);
      return weigh(t, row, surrogate_, [&](auto k) {
        const V rest = t.fma(of_index, t.load(probs_, k), t.load(surrogate_, k));
        const V weight = exponential_weight(t, row.logits, maximum_, row.tau.inv_tau_b, k);
        return t.select(t.is(k, row.index), share_of_index, weight * scale / rest);
      });
    }

    typename Tile::Real* probs_;
    typename Tile::Real* surrogate_;
    bool scaled_sum_;
    Power power_;
    V maximum_, log_total_, log_of_index_;
  };

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary_average(const Tile& t, const Element<Tile, Cursor>& e,
                                                     const Params& p, int64_t draws) {
    auto slope = t.set(0);
    for (int64_t m = 0; m < draws; ++m) {
      slope = slope + sigmoid_slope(t, binary_conditional(t, e, p, m));
    }
    return slope / t.set(static_cast<double>(draws)) * e.grad * e.tau.inv_tau_b;
  }

  /// The argument of the sigmoid in inner draw m: the perturbed logit z given the sample's sign,
  /// taken to the backward temperature.
  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary_conditional(const Tile& t,
                                                         const Element<Tile, Cursor>& e,
                                                         const Params& p, int64_t m) {
    auto stream = e.stream;
    stream.offset += 1 + static_cast<uint64_t>(m);
    typename Tile::V log_u, log_1mu;
    t.logistic_pair(stream, e.column, &log_u, &log_1mu);
    const auto on = t.less(t.set(0), e.on);
    if (p.scaled_sum()) {
      const auto if_on = softplus(t, e.logit + log_u) - log_1mu;
      const auto if_off = log_u - softplus(t, log_1mu - e.logit);
      return t.select(on, if_on, if_off) * e.tau.inv_tau_b;
    }
    // The noise alone, z less the logit: taken without z, which an infinite logit makes infinite.
    const auto logit = e.logit * e.tau.inv_tau_f;
    const auto if_on = t.max(log_u, -logit) + log1p_exp(t, logit + log_u) - log_1mu;
    const auto if_off = log_u - t.max(log_1mu, logit) - log1p_exp(t, log_1mu - logit);
    return t.select(on, if_on, if_off) + e.logit * e.tau.inv_tau_b;
  }

 private:
  /// log(1 + exp(-|a|)).
  template <class Tile>
  GRADTHRU_HD static typename Tile::V log1p_exp(const Tile& t, typename Tile::V a) {
    return t.log1p(t.exp(-t.abs(a)));
  }
  template <class Tile>
  GRADTHRU_HD static typename Tile::V softplus(const Tile& t, typename Tile::V a) {
    return t.max(a, t.set(0)) + log1p_exp(t, a);
  }
};

}  // namespace gradthru::math
