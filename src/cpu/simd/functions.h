#pragma once

#include "cpu/simd/lanes.h"

// Elementary functions on sixteen lanes. The same steps on every instruction set, every product
// with a sum rounded once, so that the bits agree. Polynomials fitted for the least relative error.
namespace gradthru::cpu::HWY_NAMESPACE {

/// e^x for x <= 88, within 1 ulp; 0 below -86.6; NaN for NaN.
GRADTHRU_LONG Floats exp16(const Floats& x) {
  const FloatTag d;
  const auto magic = hn::Set(d, 12582912.0f + 127.0f);  // rounds to an integer, biased exponent low
  const auto log2e = hn::Set(d, 1.44269504f);
  const auto minus_ln2_high = hn::Set(d, -0.69314575f);
  const auto minus_ln2_low = hn::Set(d, -1.42860677e-6f);
  const auto one = hn::Set(d, 1.0f);
  Floats result;
  GRADTHRU_PARTS(i) {
    const auto shifted = fma_vector(x.part[i], log2e, magic);
    const auto n = hn::Sub(shifted, magic);
    auto r = fma_vector(n, minus_ln2_high, x.part[i]);
    r = fma_vector(n, minus_ln2_low, r);
    auto p = hn::Set(d, 0.001381453825160861f);
    p = fma_vector(p, r, hn::Set(d, 0.00836874544620514f));
    p = fma_vector(p, r, hn::Set(d, 0.04166838899254799f));
    p = fma_vector(p, r, hn::Set(d, 0.1666652113199234f));
    p = fma_vector(p, r, hn::Set(d, 0.4999999403953552f));
    const auto y = hn::Add(one, fma_vector(p, hn::Mul(r, r), r));
    const auto scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(IntTag(), shifted)));
    result.part[i] = hn::IfThenZeroElse(hn::Lt(x.part[i], hn::Set(d, -86.6f)), hn::Mul(y, scale));
  }
  return result;
}

/// log(1 + f) + n log 2 for f in [sqrt(1/2) - 1, sqrt(2) - 1], within 1.1 ulp.
GRADTHRU_LONG FloatVec log_from(FloatVec f, FloatVec n) {
  const FloatTag d;
  auto p = hn::Set(d, -0.07634374499320984f);
  p = fma_vector(p, f, hn::Set(d, 0.12763474881649017f));
  p = fma_vector(p, f, hn::Set(d, -0.13161104917526245f));
  p = fma_vector(p, f, hn::Set(d, 0.14201568067073822f));
  p = fma_vector(p, f, hn::Set(d, -0.16623249650001526f));
  p = fma_vector(p, f, hn::Set(d, 0.20001231133937836f));
  p = fma_vector(p, f, hn::Set(d, -0.250008225440979f));
  p = fma_vector(p, f, hn::Set(d, 0.3333333134651184f));
  p = fma_vector(p, f, hn::Set(d, -0.5f));
  const auto low = fma_vector(p, hn::Mul(f, f), hn::Mul(n, hn::Set(d, 1.42860677e-6f)));
  return hn::Add(fma_vector(n, hn::Set(d, 0.69314575f), f), low);
}

/// Splits x > 0, normal, into (1 + f) 2^n with 1 + f in [sqrt(1/2), sqrt(2)).
GRADTHRU_HD void split(FloatVec x, FloatVec* f, FloatVec* n) {
  const FloatTag d;
  const IntTag di;
  const auto sqrt_half = hn::Set(di, 0x3f3504f3);
  const auto bits = hn::Sub(hn::BitCast(di, x), sqrt_half);
  *n = hn::ConvertTo(d, hn::ShiftRight<23>(bits));
  const auto mantissa = hn::Add(hn::And(bits, hn::Set(di, 0x7fffff)), sqrt_half);
  *f = hn::Sub(hn::BitCast(d, mantissa), hn::Set(d, 1.0f));
}

GRADTHRU_LONG FloatVec log_vector(FloatVec x) {
  const FloatTag d;
  const auto tiny = hn::Lt(x, hn::Set(d, 1.17549435e-38f));
  FloatVec f, n;
  split(hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, 33554432.0f)), x), &f, &n);
  n = hn::Sub(n, hn::IfThenElseZero(tiny, hn::Set(d, 25.0f)));
  const auto finite = log_from(f, n);
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  // NaN and +inf stand for themselves; 0 has -inf, what is below has none.
  const auto upper = hn::IfThenElse(hn::Lt(x, infinity), finite, x);
  const auto lower = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity),
                                    hn::Set(d, std::numeric_limits<float>::quiet_NaN()));
  return hn::IfThenElse(hn::Lt(hn::Zero(d), x), upper, hn::IfThenElse(hn::Eq(x, x), lower, x));
}

/// log x, within 1.1 ulp; -inf for 0, NaN for less.
GRADTHRU_HD Floats log16(const Floats& x) {
  Floats r;
  GRADTHRU_PARTS(i) r.part[i] = log_vector(x.part[i]);
  return r;
}

/// log(1 + x) for x > -1, within 2 ulp.
GRADTHRU_LONG Floats log1p16(const Floats& x) {
  const FloatTag d;
  const auto one = hn::Set(d, 1.0f);
  Floats r;
  GRADTHRU_PARTS(i) {
    const auto v = x.part[i];
    const auto near = hn::And(hn::Lt(hn::Set(d, -0.2928f), v), hn::Lt(v, hn::Set(d, 0.4142f)));
    const auto u = hn::Add(one, v);
    const auto correction = hn::Div(hn::Sub(v, hn::Sub(u, one)), u);
    r.part[i] = hn::IfThenElse(near, log_from(v, hn::Zero(d)), hn::Add(log_vector(u), correction));
  }
  return r;
}

/// log((w + 1/2) 2^-32), to full relative precision also where that is near 1; for words that need
/// no low word.
GRADTHRU_LONG FloatVec log_of_word(UintVec word) {
  const FloatTag d;
  const IntTag di;
  const UintTag du;
  // Near 1 the logarithm is that of 1 - (~w + 1/2) 2^-32.
  const auto complement = hn::Not(word);
  const auto near_one = hn::Lt(hn::BitCast(di, hn::ShiftRight<1>(complement)),
                               hn::Set(di, 0x257d8663));  // (1 - sqrt(1/2)) 2^31
  const auto chosen = hn::IfThenElse(hn::RebindMask(du, near_one), complement, word);
  const auto upper = hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<16>(chosen)));
  const auto lower = hn::ConvertTo(d, hn::BitCast(di, hn::And(chosen, hn::Set(du, 0xffff))));
  const auto unit = hn::Mul(fma_vector(upper, hn::Set(d, 65536.0f), lower), hn::Set(d, 0x1p-32f));
  FloatVec f, n;
  split(unit, &f, &n);
  const auto near = hn::RebindMask(d, near_one);
  return log_from(hn::IfThenElse(near, hn::Neg(unit), f), hn::IfThenZeroElse(near, n));
}

}  // namespace gradthru::cpu::HWY_NAMESPACE
