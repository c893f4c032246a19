#pragma once

#include "math/sampler.h"

namespace gradthru::math {

/// p = (1 - epsilon) softmax(logits / tau_f) + epsilon / K, K the categories that exist: the law of
/// a sample with uniform_mix = epsilon. As an unnormalised weight at each cursor.
template <class Tile>
struct Mixture {
  const typename Tile::Real* logits;
  typename Tile::V maximum, inv_tau;
  typename Tile::V of_softmax;  ///< (1 - epsilon) / total
  typename Tile::V uniform;     ///< epsilon / K

  GRADTHRU_HD Mixture(const Tile& t, const typename Tile::Real* row_logits,
                      typename Tile::V row_maximum, typename Tile::V row_inv_tau, double epsilon,
                      int64_t K)
      : logits(row_logits), maximum(row_maximum), inv_tau(row_inv_tau) {
    const auto sums = t.sum(K, [&](auto k) {
      const auto weight = exponential_weight(t, logits, maximum, inv_tau, k);
      return Sums<typename Tile::V, 2>{{weight, t.select(exists(t, k), t.set(1), t.set(0))}};
    });
    of_softmax = t.set(1 - epsilon) / sums.of[0];
    uniform = t.set(epsilon) / sums.of[1];
  }

  template <class Cursor>
  GRADTHRU_HD typename Tile::B exists(const Tile& t, Cursor k) const {
    return t.less(t.set(-std::numeric_limits<double>::infinity()), t.load(logits, k));
  }

  /// p at cursor k, 0 where the category does not exist.
  template <class Cursor>
  GRADTHRU_HD typename Tile::V prob(const Tile& t, Cursor k) const {
    const auto mixed = exponential_weight(t, logits, maximum, inv_tau, k) * of_softmax + uniform;
    return t.select(exists(t, k), mixed, t.set(0));
  }
};

/// index ~ p by inverse CDF. At tau_f = 0 (inv_tau is then the largest finite number) the softmax
/// is spread evenly over the categories that tie for the largest logit.
template <class Tile>
GRADTHRU_HD Drawn<Tile> mixed_inverse_cdf(const Tile& t, const typename Tile::Real* logits,
                                          typename Tile::V inv_tau, double epsilon,
                                          const typename Tile::Stream& stream, int64_t K) {
  const auto maximum = row_maximum(t, logits, K);
  const Mixture<Tile> mixture(t, logits, maximum, inv_tau, epsilon, K);
  return {t.pick(K, t.uniform(stream), [&](auto k) { return mixture.prob(t, k); }), maximum};
}

/// The same at tau_f = 0, where the softmax is the largest logit's category.
template <class Tile>
GRADTHRU_HD Drawn<Tile> mixed_argmax(const Tile& t, const typename Tile::Real* logits,
                                     double epsilon, const typename Tile::Stream& stream,
                                     int64_t K) {
  const auto leader = argmax(t, logits, K);
  const Mixture<Tile> mixture(t, logits, leader.maximum, t.set(1), epsilon, K);
  const auto weight_at = [&](auto k) {
    const auto of_leader = t.select(t.is(k, leader.index), t.set(1 - epsilon), t.set(0));
    return t.select(mixture.exists(t, k), of_leader + mixture.uniform, t.set(0));
  };
  return {t.pick(K, t.uniform(stream), weight_at), leader.maximum};
}

/// The gradient under uniform_mix of a rule that is a function of the law of its sample: the rule
/// at logits log p and temperature 1 gives u, the result is (1 - epsilon)/tau_f J(softmax) (u / p).
/// Takes one row of scratch beyond those of the rule. A rule that differentiates the softmax at
/// tau_b, whatever drew the sample, is scaled only.
template <class Rule, class Tile>
GRADTHRU_HD void mixed_backward(const Tile& t, const Row<Tile>& row, const Params& p,
                                double epsilon) {
  if constexpr (requires { typename Rule::IgnoresLaw; }) {
    Rule::backward(t, row, p);
    t.each(row.K, [&](auto k) { t.store(row.out, k, t.load(row.out, k) * t.set(1 - epsilon)); });
    return;
  }
  auto* log_probs = row.scratch + scratch_rows<Rule>(row.K) * Tile::row_size(row.K);
  const auto maximum = row_maximum(t, row.logits, row.K);
  const Mixture<Tile> mixture(t, row.logits, maximum, row.tau.inv_tau_f, epsilon, row.K);
  t.each(row.K, [&](auto k) { t.store(log_probs, k, t.log(mixture.prob(t, k))); });
  Row<Tile> at_law = row;
  at_law.logits = log_probs;
  at_law.tau = Temperatures<Tile>::of(1, 1);
  Params untempered = p;
  untempered.tau_f = untempered.tau_b = 1;
  Rule::backward(t, at_law, untempered);

  const auto ratio_at = [&](auto k) {
    const auto prob = mixture.prob(t, k);
    return t.select(t.equal(prob, t.set(0)), t.set(0), t.load(row.out, k) / prob);
  };
  const auto softmax_at = [&](auto k) {  // (1 - epsilon) softmax
    return exponential_weight(t, row.logits, maximum, row.tau.inv_tau_f, k) * mixture.of_softmax;
  };
  const auto mean =
      t.sum(row.K, [&](auto k) { return softmax_at(k) * ratio_at(k); }) / t.set(1 - epsilon);
  t.each(row.K, [&](auto k) {
    t.store(row.out, k, softmax_at(k) * (ratio_at(k) - mean) * row.tau.inv_tau_f);
  });
}

/// The gradient of a rule with or without a mixture.
template <class Rule, class Tile>
GRADTHRU_HD void gradient_of(const Tile& t, const Row<Tile>& row, const Params& p, double epsilon) {
  if (epsilon > 0) {
    mixed_backward<Rule>(t, row, p, epsilon);
  } else {
    Rule::backward(t, row, p);
  }
}

}  // namespace gradthru::math
