#pragma once

#include "math/philox.h"

// The flip gradient of path-sample-analytic (PSA) layers:
//
//   d_in[i] = sum_j h_j [F(a_j) - F(a_j - x_ji)],   h = s_out d_out,   x_ji = kappa W_ji s_i.
//
// L is a number in each of several lanes: V with + - * /, set, abs, min, exp, expm1, fma,
// with_sign(v, s) (v >= 0 with the sign of s), flip(v, s) (v times the sign of s), negative(s, yes,
// no) (yes where s < 0; either at zero), and or_nan(v, s) (v, but s where s is NaN).
namespace gradthru::math {

/// Up to this |x| a term is taken in rational form, q / (s c - t), which needs no exponential: t =
/// tanh(a / 2), q = h (1 - t^2) / 2, c = coth(kappa w / 2). Its denominator loses digits as |c|
/// nears 1; at this bound the relative error of a term in float32 is 1e-6.
inline constexpr double kPsaRationalLimit = 3;

/// Up to this |x| the denominator is taken in two parts that never cancel: with sigma = s sign(w)
/// and g = |c| - 1, s c - t = sigma (g + 1 - sigma t), and 1 - t = 2 F(-a), 1 + t = 2 F(a). Beyond
/// it the product of three of them may leave what float32 holds.
inline constexpr double kPsaSplitLimit = 16;

/// What |c| is held below, so that products of three stay finite; a weight of 0 acts as 2 / limit.
template <class T>
constexpr T psa_largest_coth() {
  return static_cast<T>(sizeof(T) == 4 ? 0x1p36 : 0x1p300);
}

/// g = |c| - 1 of x = kappa w.
template <class L>
GRADTHRU_HD typename L::V psa_coth_above_one(const typename L::V& x) {
  return L::min(L::set(2) / L::expm1(L::abs(x)), L::set(psa_largest_coth<typename L::Real>()));
}

/// c of x = kappa w.
template <class L>
GRADTHRU_HD typename L::V psa_coth(const typename L::V& x) {
  return L::with_sign(L::set(1) + psa_coth_above_one<L>(x), x);
}

/// F(|a|) and F(-|a|).
template <class L>
struct LogisticPair {
  typename L::V large, small;

  GRADTHRU_HD explicit LogisticPair(const typename L::V& a) {
    const auto e = L::exp(L::set(0) - L::abs(a));
    large = L::set(1) / (L::set(1) + e);
    small = e * large;
  }
};

/// A unit of the layer above in rational form, signed so that a term is minus_q / (t - s c).
template <class L>
struct PsaUnit {
  typename L::V t, minus_q;

  GRADTHRU_HD PsaUnit(const typename L::V& a, const typename L::V& h) {
    const LogisticPair<L> p(a);
    t = L::with_sign(L::set(1) - L::set(2) * p.small, a);
    minus_q = L::or_nan(L::set(-2) * h * p.large * p.small, a);
  }
};

/// The parts of the denominator that a unit brings: -(1 - t) and 1 + t. A term is minus_q /
/// below(e) for e = -sigma g.
template <class L>
struct PsaSplitUnit {
  typename L::V minus_up, down;

  GRADTHRU_HD explicit PsaSplitUnit(const typename L::V& a) {
    const LogisticPair<L> p(a);
    minus_up = L::set(-2) * L::negative(a, p.large, p.small);
    down = L::set(2) * L::negative(a, p.small, p.large);
  }
  PsaSplitUnit() = default;

  GRADTHRU_HD typename L::V below(const typename L::V& e) const {
    return e + L::negative(e, minus_up, down);
  }
};

/// The sum of `n` terms over one division, for denominators t - s c.
template <class L, int n>
GRADTHRU_HD typename L::V psa_terms(const typename L::V* minus_q, const typename L::V* below) {
  if constexpr (n == 1) {
    return minus_q[0] / below[0];
  } else {
    auto top = L::fma(minus_q[0], below[1], minus_q[1] * below[0]);
    auto bottom = below[0] * below[1];
    if constexpr (n == 3) {
      top = L::fma(top, below[2], minus_q[2] * bottom);
      bottom = bottom * below[2];
    }
    return top / bottom;
  }
}

/// A unit for weights of any size: its preactivation and h F(a), -h F(-a).
template <class L>
struct PsaAnyUnit {
  typename L::V a, up, down;

  GRADTHRU_HD PsaAnyUnit(const typename L::V& preactivation, const typename L::V& h)
      : a(preactivation) {
    const LogisticPair<L> p(a);
    up = L::or_nan(h * L::negative(a, p.small, p.large), a);
    down = L::or_nan(L::set(0) - h * L::negative(a, p.large, p.small), a);
  }
  PsaAnyUnit() = default;

  /// h [F(a) - F(a - x)] = +-(1 - e^-|x|) h F(+-a) F(|x| -+ a), signs that of x: no difference of
  /// near numbers, nothing overflows. `factor` is 1 - e^-|x|.
  GRADTHRU_HD typename L::V term(const typename L::V& x, const typename L::V& factor) const {
    const auto e = L::exp(L::flip(a, x) - L::abs(x));
    return factor * L::negative(x, down, up) / (L::set(1) + e);
  }
};

template <class L>
GRADTHRU_HD typename L::V psa_factor(const typename L::V& x) {
  return L::or_nan(L::set(0) - L::expm1(L::set(0) - L::abs(x)), x);
}

}  // namespace gradthru::math
