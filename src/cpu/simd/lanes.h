#pragma once

// Sixteen lanes on vectors of any width. Included by kernels.cpp, which is compiled once per
// instruction set: everything lives in a namespace of its own for each.
#include <hwy/highway.h>

#include <cstdint>

#include "math/tile.h"

namespace gradthru::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using IntTag = hn::RebindToSigned<FloatTag>;
using UintTag = hn::RebindToUnsigned<FloatTag>;
using DoubleTag = hn::Repartition<double, FloatTag>;
using WordTag = hn::Repartition<uint64_t, FloatTag>;
using FloatVec = hn::Vec<FloatTag>;
using IntVec = hn::Vec<IntTag>;
using UintVec = hn::Vec<UintTag>;
using DoubleVec = hn::Vec<DoubleTag>;
using WordVec = hn::Vec<WordTag>;

inline constexpr int kWidth = static_cast<int>(hn::MaxLanes(FloatTag()));
inline constexpr int kParts = 16 / kWidth;

// Long functions are inlined where that is fast; the set without fused multiplication is for the
// oldest machines, and would take minutes to compile.
#if HWY_TARGET == HWY_SSE4
#define GRADTHRU_LONG inline __attribute__((noinline))
#else
#define GRADTHRU_LONG GRADTHRU_HD
#endif

// What the sets of instructions differ in is hidden here: a Pack is sixteen lanes in kParts
// vectors.
#define GRADTHRU_PARTS(i) _Pragma("GCC unroll 4") for (int i = 0; i < kParts; ++i)

/// A predicate of each lane.
struct Mask {
  hn::Mask<FloatTag> part[kParts];
};

struct Floats {
  FloatVec part[kParts];

  GRADTHRU_HD friend Floats operator+(const Floats& a, const Floats& b) {
    Floats r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Add(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD friend Floats operator-(const Floats& a, const Floats& b) {
    Floats r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Sub(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD friend Floats operator*(const Floats& a, const Floats& b) {
    Floats r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Mul(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD friend Floats operator/(const Floats& a, const Floats& b) {
    Floats r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Div(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD friend Floats operator-(const Floats& a) {
    Floats r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Neg(a.part[i]);
    return r;
  }
};

struct Ints {
  IntVec part[kParts];
};

struct Uints {
  UintVec part[kParts];
};

/// Sixteen doubles: two vectors for each of floats.
struct Doubles {
  DoubleVec low[kParts], high[kParts];

  GRADTHRU_HD friend Doubles operator+(const Doubles& a, const Doubles& b) {
    Doubles r;
    GRADTHRU_PARTS(i) {
      r.low[i] = hn::Add(a.low[i], b.low[i]);
      r.high[i] = hn::Add(a.high[i], b.high[i]);
    }
    return r;
  }
};

GRADTHRU_HD Floats floats(float x) {
  Floats r;
  GRADTHRU_PARTS(i) r.part[i] = hn::Set(FloatTag(), x);
  return r;
}

GRADTHRU_HD Floats load16(const float* p) {
  Floats r;
  GRADTHRU_PARTS(i) r.part[i] = hn::LoadU(FloatTag(), p + i * kWidth);
  return r;
}

GRADTHRU_HD void store16(const Floats& v, float* p) {
  GRADTHRU_PARTS(i) hn::StoreU(v.part[i], FloatTag(), p + i * kWidth);
}

GRADTHRU_HD Doubles widen(const Floats& v) {
  Doubles r;
  const hn::Half<FloatTag> half;
  GRADTHRU_PARTS(i) {
    r.low[i] = hn::PromoteTo(DoubleTag(), hn::LowerHalf(half, v.part[i]));
    r.high[i] = hn::PromoteTo(DoubleTag(), hn::UpperHalf(half, v.part[i]));
  }
  return r;
}

#if HWY_TARGET == HWY_SSE4
/// a b + c rounded once, for machines that cannot: the product is exact in double, the sum is
/// rounded to odd, so that rounding it to single is as rounding the exact sum.
GRADTHRU_HD DoubleVec fma_to_odd(DoubleVec a, DoubleVec b, DoubleVec c) {
  const DoubleTag d;
  const WordTag w;
  const auto product = hn::Mul(a, b);
  const auto sum = hn::Add(product, c);
  const auto back = hn::Sub(sum, product);
  const auto error = hn::Add(hn::Sub(product, hn::Sub(sum, back)), hn::Sub(c, back));
  const auto zero = hn::Zero(d);
  const auto bits = hn::BitCast(w, sum);
  const auto even = hn::Eq(hn::And(bits, hn::Set(w, 1)), hn::Zero(w));
  const auto inexact = hn::Or(hn::Lt(error, zero), hn::Gt(error, zero));
  const auto away = hn::Eq(hn::And(hn::BitCast(w, error), hn::Set(w, uint64_t{1} << 63)),
                           hn::And(bits, hn::Set(w, uint64_t{1} << 63)));
  const auto odd = hn::IfThenElse(away, hn::Add(bits, hn::Set(w, 1)), hn::Sub(bits, hn::Set(w, 1)));
  const auto adjust = hn::And(even, hn::RebindMask(w, inexact));
  return hn::BitCast(d, hn::IfThenElse(adjust, odd, bits));
}

GRADTHRU_LONG FloatVec fma_vector(FloatVec a, FloatVec b, FloatVec c) {
  const hn::Half<FloatTag> half;
  const DoubleTag d;
  const auto low =
      fma_to_odd(hn::PromoteTo(d, hn::LowerHalf(half, a)), hn::PromoteTo(d, hn::LowerHalf(half, b)),
                 hn::PromoteTo(d, hn::LowerHalf(half, c)));
  const auto high =
      fma_to_odd(hn::PromoteTo(d, hn::UpperHalf(half, a)), hn::PromoteTo(d, hn::UpperHalf(half, b)),
                 hn::PromoteTo(d, hn::UpperHalf(half, c)));
  return hn::Combine(FloatTag(), hn::DemoteTo(half, high), hn::DemoteTo(half, low));
}
#else
GRADTHRU_HD FloatVec fma_vector(FloatVec a, FloatVec b, FloatVec c) {
  return hn::MulAdd(a, b, c);
}
#endif

GRADTHRU_HD Floats fma16(const Floats& a, const Floats& b, const Floats& c) {
  Floats r;
  GRADTHRU_PARTS(i) r.part[i] = fma_vector(a.part[i], b.part[i], c.part[i]);
  return r;
}

/// The sum of the lanes in a fixed order: i and i + 8, then i and i + 4, + 2, + 1.
GRADTHRU_HD float sum_of_lanes(const Floats& v) {
  HWY_ALIGN float lane[16];
  store16(v, lane);
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
  }
  return lane[0];
}

GRADTHRU_HD float largest_of_lanes(const Floats& v) {
  HWY_ALIGN float lane[16];
  store16(v, lane);
  float largest = lane[0];
  for (int i = 1; i < 16; ++i) largest = largest < lane[i] ? lane[i] : largest;
  return largest;
}

GRADTHRU_HD double sum_of_lanes(const Doubles& v) {
  HWY_ALIGN double lane[16];
  GRADTHRU_PARTS(i) {
    hn::StoreU(v.low[i], DoubleTag(), lane + i * kWidth);
    hn::StoreU(v.high[i], DoubleTag(), lane + i * kWidth + kWidth / 2);
  }
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
  }
  return lane[0];
}

/// Arithmetic that both tiles share.
struct LaneArithmetic {
  using Real = float;
  using V = Floats;
  using B = Mask;

  GRADTHRU_HD static V set(double x) { return floats(static_cast<float>(x)); }
  GRADTHRU_HD static B equal(const V& a, const V& b) {
    B r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Eq(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD static B less(const V& a, const V& b) {
    B r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Lt(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD static B both(const B& a, const B& b) {
    B r;
    GRADTHRU_PARTS(i) r.part[i] = hn::And(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD static B either(const B& a, const B& b) {
    B r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Or(a.part[i], b.part[i]);
    return r;
  }
  GRADTHRU_HD static V select(const B& c, const V& a, const V& b) {
    V r;
    GRADTHRU_PARTS(i) r.part[i] = hn::IfThenElse(c.part[i], a.part[i], b.part[i]);
    return r;
  }
  /// b < a ? b : a, so a where one is NaN.
  GRADTHRU_HD static V min(const V& a, const V& b) { return select(less(b, a), b, a); }
  /// a < b ? b : a, so a where one is NaN.
  GRADTHRU_HD static V max(const V& a, const V& b) { return select(less(a, b), b, a); }
  GRADTHRU_HD static V abs(const V& a) {
    V r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Abs(a.part[i]);
    return r;
  }
  GRADTHRU_HD static V fma(const V& a, const V& b, const V& c) { return fma16(a, b, c); }
};

}  // namespace gradthru::cpu::HWY_NAMESPACE
