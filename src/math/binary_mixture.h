#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// The law of a binary sample as a logit at temperature 1: it is 1 where this logit, perturbed by
/// logistic noise, is positive.
template <class Tile>
struct BinaryLaw {
  typename Tile::V logit;
  typename Tile::V slope;  ///< of that logit in the given one
};

/// With uniform_mix = epsilon the probability of 1 is (1 - epsilon) sigma(logit / tau_f) +
/// epsilon / 2.
template <class Tile>
GRADTHRU_HD BinaryLaw<Tile> binary_law(const Tile& t, typename Tile::V logit,
                                       typename Tile::V inv_tau, double epsilon) {
  const auto a = logit * inv_tau;
  if (epsilon == 0) return {a, inv_tau};
  const auto keep = t.set(1 - epsilon), half = t.set(epsilon / 2);
  const auto on = keep * sigmoid(t, a) + half;
  const auto off = keep * sigmoid(t, -a) + half;
  return {t.log(on) - t.log(off), keep * sigmoid_slope(t, a) * inv_tau / (on * off)};
}

/// 1 or 0, and NaN where the logit is. At tau_f = 0 (`at_zero`) the sigmoid is a step, 1 at 0.
template <class Tile, class Cursor>
GRADTHRU_HD typename Tile::V draw_binary(const Tile& t, typename Tile::V logit,
                                         typename Tile::V inv_tau, bool at_zero, double epsilon,
                                         const typename Tile::Stream& stream, Cursor column) {
  const auto infinity = t.set(std::numeric_limits<double>::infinity());
  const auto step = t.select(t.less(logit, t.set(0)), -infinity, infinity);
  const auto law =
      at_zero ? binary_law(t, step, t.set(1), epsilon) : binary_law(t, logit, inv_tau, epsilon);
  typename Tile::V log_v, log_1mv;
  t.logistic_pair(stream, column, &log_v, &log_1mv);
  const auto drawn = t.select(t.less(t.set(0), law.logit + (log_v - log_1mv)), t.set(1), t.set(0));
  return t.select(t.equal(logit, logit), drawn, logit);
}

/// The binary gradient under uniform_mix, as mixed_backward: the rule at the law's logit and
/// temperature 1, times the slope of that logit.
template <class Rule, class Tile, class Cursor>
GRADTHRU_HD typename Tile::V mixed_binary(const Tile& t, const Element<Tile, Cursor>& e,
                                          const Params& p, double epsilon) {
  if constexpr (requires { typename Rule::IgnoresLaw; }) {
    return Rule::binary(t, e, p) * t.set(1 - epsilon);
  } else {
    const auto law = binary_law(t, e.logit, e.tau.inv_tau_f, epsilon);
    Element<Tile, Cursor> at_law = e;
    at_law.logit = law.logit;
    at_law.tau = Temperatures<Tile>::of(1, 1);
    Params untempered = p;
    untempered.tau_f = untempered.tau_b = 1;
    return Rule::binary(t, at_law, untempered) * law.slope;
  }
}

}  // namespace gradthru::math
