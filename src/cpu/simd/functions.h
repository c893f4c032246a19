#pragma once

#include "cpu/simd/lanes.h"

// Elementary functions on n vectors in step: the steps of one alone would wait for each other. The
// same steps on every instruction set, every product with a sum rounded once, so that the bits
// agree. Polynomials fitted for the least relative error.
#define GRADTHRU_STEP(i) _Pragma("GCC unroll 8") for (int i = 0; i < n; ++i)

namespace gradthru::cpu::HWY_NAMESPACE {

/// p = p x + coefficient.
template <int n>
GRADTHRU_HD void horner(FloatVec* p, const FloatVec* x, float coefficient) {
  const auto c = hn::Set(FloatTag(), coefficient);
  GRADTHRU_STEP(i) p[i] = fma_vector(p[i], x[i], c);
}

template <int n>
GRADTHRU_LONG void exp_of(FloatVec* x) {
  const FloatTag d;
  const auto magic = hn::Set(d, 12582912.0f + 127.0f);  // rounds to an integer, biased exponent low
  const auto log2e = hn::Set(d, 1.44269504f);
  const auto minus_ln2_high = hn::Set(d, -0.69314575f);
  const auto minus_ln2_low = hn::Set(d, -1.42860677e-6f);
  const auto one = hn::Set(d, 1.0f);
  FloatVec shifted[n], whole[n], r[n], p[n];
  GRADTHRU_STEP(i) shifted[i] = fma_vector(x[i], log2e, magic);
  GRADTHRU_STEP(i) whole[i] = hn::Sub(shifted[i], magic);
  GRADTHRU_STEP(i) r[i] = fma_vector(whole[i], minus_ln2_high, x[i]);
  GRADTHRU_STEP(i) r[i] = fma_vector(whole[i], minus_ln2_low, r[i]);
  GRADTHRU_STEP(i) p[i] = hn::Set(d, 0.001381453825160861f);
  horner<n>(p, r, 0.00836874544620514f);
  horner<n>(p, r, 0.04166838899254799f);
  horner<n>(p, r, 0.1666652113199234f);
  horner<n>(p, r, 0.4999999403953552f);
  GRADTHRU_STEP(i) p[i] = fma_vector(p[i], hn::Mul(r[i], r[i]), r[i]);
  GRADTHRU_STEP(i) p[i] = hn::Add(one, p[i]);
  GRADTHRU_STEP(i) {
    const auto scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(IntTag(), shifted[i])));
    x[i] = hn::IfThenZeroElse(hn::Lt(x[i], hn::Set(d, -86.6f)), hn::Mul(p[i], scale));
  }
}

/// e^x for x <= 88, within 1.01 ulp; 0 below -86.6; NaN for NaN.
GRADTHRU_HD Floats exp16(Floats x) {
  exp_of<kParts>(x.part);
  return x;
}

/// result = log(1 + f) + e log 2 for f in [sqrt(1/2) - 1, sqrt(2) - 1], within 1.6 ulp.
template <int n>
GRADTHRU_LONG void log_from(const FloatVec* f, const FloatVec* e, FloatVec* result) {
  const FloatTag d;
  FloatVec p[n], low[n];
  GRADTHRU_STEP(i) p[i] = hn::Set(d, -0.07634374499320984f);
  horner<n>(p, f, 0.12763474881649017f);
  horner<n>(p, f, -0.13161104917526245f);
  horner<n>(p, f, 0.14201568067073822f);
  horner<n>(p, f, -0.16623249650001526f);
  horner<n>(p, f, 0.20001231133937836f);
  horner<n>(p, f, -0.250008225440979f);
  horner<n>(p, f, 0.3333333134651184f);
  horner<n>(p, f, -0.5f);
  GRADTHRU_STEP(i) low[i] = hn::Mul(e[i], hn::Set(d, 1.42860677e-6f));
  GRADTHRU_STEP(i) low[i] = fma_vector(p[i], hn::Mul(f[i], f[i]), low[i]);
  GRADTHRU_STEP(i) {
    result[i] = hn::Add(fma_vector(e[i], hn::Set(d, 0.69314575f), f[i]), low[i]);
  }
}

/// Splits x > 0, normal, into (1 + f) 2^e with 1 + f in [sqrt(1/2), sqrt(2)).
template <int n>
GRADTHRU_HD void split(const FloatVec* x, FloatVec* f, FloatVec* e) {
  const FloatTag d;
  const IntTag di;
  const auto sqrt_half = hn::Set(di, 0x3f3504f3);
  IntVec bits[n];
  GRADTHRU_STEP(i) bits[i] = hn::Sub(hn::BitCast(di, x[i]), sqrt_half);
  GRADTHRU_STEP(i) e[i] = hn::ConvertTo(d, hn::ShiftRight<23>(bits[i]));
  GRADTHRU_STEP(i) bits[i] = hn::Add(hn::And(bits[i], hn::Set(di, 0x7fffff)), sqrt_half);
  GRADTHRU_STEP(i) f[i] = hn::Sub(hn::BitCast(d, bits[i]), hn::Set(d, 1.0f));
}

template <int n>
GRADTHRU_LONG void log_of(FloatVec* x) {
  const FloatTag d;
  const auto least = hn::Set(d, 1.17549435e-38f);
  FloatVec normal[n], f[n], e[n], finite[n];
  GRADTHRU_STEP(i) {
    normal[i] = hn::IfThenElse(hn::Lt(x[i], least), hn::Mul(x[i], hn::Set(d, 33554432.0f)), x[i]);
  }
  split<n>(normal, f, e);
  GRADTHRU_STEP(i) {
    e[i] = hn::Sub(e[i], hn::IfThenElseZero(hn::Lt(x[i], least), hn::Set(d, 25.0f)));
  }
  log_from<n>(f, e, finite);
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  // NaN and +inf stand for themselves; 0 has -inf, what is below has none.
  GRADTHRU_STEP(i) {
    const auto upper = hn::IfThenElse(hn::Lt(x[i], infinity), finite[i], x[i]);
    const auto lower = hn::IfThenElse(hn::Eq(x[i], hn::Zero(d)), hn::Neg(infinity),
                                      hn::Set(d, std::numeric_limits<float>::quiet_NaN()));
    x[i] = hn::IfThenElse(hn::Lt(hn::Zero(d), x[i]), upper,
                          hn::IfThenElse(hn::Eq(x[i], x[i]), lower, x[i]));
  }
}

/// log x, within 1.6 ulp; -inf for 0, NaN for less.
GRADTHRU_HD Floats log16(Floats x) {
  log_of<kParts>(x.part);
  return x;
}

/// log(1 + x) for x > -1, within 2 ulp.
GRADTHRU_LONG Floats log1p16(const Floats& x) {
  constexpr int n = kParts;
  const FloatTag d;
  const auto one = hn::Set(d, 1.0f);
  const auto zero = floats(0);
  Floats by_series, by_log, u;
  log_from<n>(x.part, zero.part, by_series.part);
  GRADTHRU_STEP(i) u.part[i] = hn::Add(one, x.part[i]);
  by_log = u;
  log_of<n>(by_log.part);
  GRADTHRU_STEP(i) {
    const auto v = x.part[i];
    const auto near = hn::And(hn::Lt(hn::Set(d, -0.2928f), v), hn::Lt(v, hn::Set(d, 0.4142f)));
    const auto lost = hn::Sub(v, hn::Sub(u.part[i], one));
    const auto corrected = hn::Add(by_log.part[i], hn::Div(lost, u.part[i]));
    by_log.part[i] = hn::IfThenElse(near, by_series.part[i], corrected);
  }
  return by_log;
}

/// v = (w + 1/2) 2^-32 of words w, as what their logarithm is taken of: v itself or, near 1, 1 - v.
template <int n>
struct UnitsForLog {
  FloatVec value[n];
  hn::Mask<FloatTag> near_one[n];
  hn::Mask<UintTag> coarse[n];  ///< the word has too few bits for single precision

  GRADTHRU_HD explicit UnitsForLog(const UintVec* word) {
    const FloatTag d;
    const IntTag di;
    const UintTag du;
    UintVec chosen[n];
    GRADTHRU_STEP(i) {
      const auto complement = hn::Not(word[i]);
      const auto near = hn::Lt(hn::BitCast(di, hn::ShiftRight<1>(complement)),
                               hn::Set(di, 0x257d8663));  // (1 - sqrt(1/2)) 2^31
      near_one[i] = hn::RebindMask(d, near);
      chosen[i] = hn::IfThenElse(hn::RebindMask(du, near), complement, word[i]);
      coarse[i] = hn::Eq(hn::ShiftRight<24>(chosen[i]), hn::Zero(du));
    }
    GRADTHRU_STEP(i) {
      const auto upper = hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<16>(chosen[i])));
      const auto lower = hn::ConvertTo(d, hn::BitCast(di, hn::And(chosen[i], hn::Set(du, 0xffff))));
      const auto whole = fma_vector(upper, hn::Set(d, 65536.0f), lower);
      value[i] = hn::Mul(whole, hn::Set(d, 0x1p-32f));
    }
  }

  /// log v, to full relative precision also where v is near 1.
  GRADTHRU_HD void log(FloatVec* result) const {
    FloatVec f[n], e[n];
    split<n>(value, f, e);
    GRADTHRU_STEP(i) f[i] = hn::IfThenElse(near_one[i], hn::Neg(value[i]), f[i]);
    GRADTHRU_STEP(i) e[i] = hn::IfThenZeroElse(near_one[i], e[i]);
    log_from<n>(f, e, result);
  }
};

}  // namespace gradthru::cpu::HWY_NAMESPACE
