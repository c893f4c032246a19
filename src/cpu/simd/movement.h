#pragma once

#include <cstring>

#include "cpu/simd/lanes.h"

// Moving rows between memory and lanes, and between 16-bit types and floats.
namespace gradthru::cpu::HWY_NAMESPACE {

using QuadTag = hn::FixedTag<float, 4>;
inline constexpr int kQuads = kWidth / 4;  // rows r, r + 4, .. whose quads make one vector

/// Four columns from p of rows r, r + 4, ... as one vector.
GRADTHRU_HD FloatVec load_quads(const float* const* rows, int64_t k) {
  const QuadTag q;
#if HWY_TARGET <= HWY_AVX3
  const hn::Half<FloatTag> h;
  return hn::Combine(FloatTag(),
                     hn::Combine(h, hn::LoadU(q, rows[12] + k), hn::LoadU(q, rows[8] + k)),
                     hn::Combine(h, hn::LoadU(q, rows[4] + k), hn::LoadU(q, rows[0] + k)));
#elif HWY_TARGET <= HWY_AVX2
  return hn::Combine(FloatTag(), hn::LoadU(q, rows[4] + k), hn::LoadU(q, rows[0] + k));
#else
  return hn::LoadU(q, rows[0] + k);
#endif
}

GRADTHRU_HD void store_quads(FloatVec v, float* const* rows, int first, int count, int64_t k) {
  HWY_ALIGN float lane[16];
  const QuadTag q;
#if HWY_TARGET <= HWY_AVX2 && HWY_TARGET > HWY_AVX3
  const hn::Half<FloatTag> h;
  if (first < count) hn::StoreU(hn::LowerHalf(h, v), q, rows[0] + k);
  if (first + 4 < count) hn::StoreU(hn::UpperHalf(h, v), q, rows[4] + k);
  static_cast<void>(lane);
#else
  hn::StoreU(v, FloatTag(), lane);
  for (int j = 0; j < kQuads; ++j) {
    if (first + 4 * j < count) hn::StoreU(hn::LoadU(q, lane + 4 * j), q, rows[4 * j] + k);
  }
#endif
}

/// Transposes every 4 x 4 block of the four vectors.
GRADTHRU_HD void transpose_quads(FloatVec v[4]) {
  const FloatTag d;
  const WordTag w;
  const auto low01 = hn::BitCast(w, hn::InterleaveLower(d, v[0], v[1]));
  const auto low23 = hn::BitCast(w, hn::InterleaveLower(d, v[2], v[3]));
  const auto high01 = hn::BitCast(w, hn::InterleaveUpper(d, v[0], v[1]));
  const auto high23 = hn::BitCast(w, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(w, low01, low23));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(w, low01, low23));
  v[2] = hn::BitCast(d, hn::InterleaveLower(w, high01, high23));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(w, high01, high23));
}

inline void pack(const float* const* rows, int64_t K, float* lanes) {
  if (K < 4) {
    for (int i = 0; i < 16; ++i) {
      for (int64_t k = 0; k < K; ++k) lanes[k * 16 + i] = rows[i][k];
    }
    return;
  }
  // The last block of columns overlaps the one before instead of being masked.
  for (int64_t start = 0; start < K; start += 4) {
    const int64_t k = start + 4 <= K ? start : K - 4;
    GRADTHRU_PARTS(i) {
      FloatVec v[4];
      for (int r = 0; r < 4; ++r) v[r] = load_quads(rows + i * kWidth + r, k);
      transpose_quads(v);
      for (int c = 0; c < 4; ++c) {
        hn::StoreU(v[c], FloatTag(), lanes + (k + c) * 16 + i * kWidth);
      }
    }
  }
}

inline void unpack(const float* lanes, int64_t K, float* const* rows, int count) {
  if (K < 4) {
    for (int i = 0; i < count; ++i) {
      for (int64_t k = 0; k < K; ++k) rows[i][k] = lanes[k * 16 + i];
    }
    return;
  }
  for (int64_t start = 0; start < K; start += 4) {
    const int64_t k = start + 4 <= K ? start : K - 4;
    GRADTHRU_PARTS(i) {
      FloatVec v[4];
      for (int c = 0; c < 4; ++c) {
        v[c] = hn::LoadU(FloatTag(), lanes + (k + c) * 16 + i * kWidth);
      }
      transpose_quads(v);
      for (int r = 0; r < 4; ++r) {
        store_quads(v[r], rows + i * kWidth + r, i * kWidth + r, count, k);
      }
    }
  }
}

/// Runs `vector` over full vectors of n elements and once more over a padded copy of the rest.
template <class In, class Out, class Function>
GRADTHRU_HD void convert(const In* in, Out* out, int64_t n, const Function& vector) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) vector(in + i, out + i);
  if (i == n) return;
  HWY_ALIGN In rest[16] = {};
  HWY_ALIGN Out result[16];
  std::memcpy(rest, in + i, static_cast<size_t>(n - i) * sizeof(In));
  vector(rest, result);
  std::memcpy(out + i, result, static_cast<size_t>(n - i) * sizeof(Out));
}

using Halves = hn::Vec<hn::Rebind<uint16_t, FloatTag>>;

#if HWY_TARGET == HWY_SSE4
// Without instructions of its own for it. Highway's emulation neither rounds to the nearest nor
// keeps infinity and NaN.
GRADTHRU_HD FloatVec float_of_half(Halves half) {
  const UintTag d;
  const auto bits = hn::PromoteTo(d, half);
  const auto shifted = hn::ShiftLeft<13>(hn::And(bits, hn::Set(d, 0x7fff)));
  const auto exponent = hn::And(shifted, hn::Set(d, 0x7c00u << 13));
  const auto normal = hn::Add(shifted, hn::Set(d, 112u << 23));
  const auto special = hn::Add(normal, hn::Set(d, 112u << 23));
  const auto least = hn::BitCast(FloatTag(), hn::Set(d, 113u << 23));
  const auto below = hn::Sub(hn::BitCast(FloatTag(), hn::Add(normal, hn::Set(d, 1u << 23))), least);
  const auto finite = hn::IfThenElse(hn::Eq(exponent, hn::Zero(d)), hn::BitCast(d, below), normal);
  const auto magnitude =
      hn::IfThenElse(hn::Eq(exponent, hn::Set(d, 0x7c00u << 13)), special, finite);
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(d, 0x8000)));
  return hn::BitCast(FloatTag(), hn::Or(magnitude, sign));
}

/// To the nearest, ties to even; NaN stays NaN.
GRADTHRU_HD Halves half_of_float(FloatVec x) {
  const UintTag d;
  const IntTag ints;
  const auto sign = hn::And(hn::BitCast(d, x), hn::Set(d, 0x80000000u));
  const auto size = hn::Abs(x);
  const auto bits = hn::BitCast(d, size);
  const auto tie = hn::And(hn::ShiftRight<13>(bits), hn::Set(d, 1));
  const auto rebased = hn::Sub(bits, hn::Set(d, 112u << 23));
  const auto normal = hn::ShiftRight<13>(hn::Add(hn::Add(rebased, hn::Set(d, 0xfff)), tie));
  // Added to a number of the right size, the bits below the last that is kept are rounded away.
  const auto anchor = hn::Set(d, 126u << 23);
  const auto below =
      hn::Sub(hn::BitCast(d, hn::Add(size, hn::BitCast(FloatTag(), anchor))), anchor);
  const auto is_below = hn::Lt(size, hn::Set(FloatTag(), 0x1p-14f));
  const auto finite = hn::IfThenElse(hn::RebindMask(d, is_below), below, normal);
  const auto beyond = hn::RebindMask(d, hn::Ge(size, hn::Set(FloatTag(), 65536.0f)));
  const auto nan = hn::RebindMask(d, hn::Ne(x, x));
  const auto magnitude =
      hn::IfThenElse(nan, hn::Set(d, 0x7e00), hn::IfThenElse(beyond, hn::Set(d, 0x7c00), finite));
  const auto result = hn::Or(magnitude, hn::ShiftRight<16>(sign));
  return hn::DemoteTo(hn::Rebind<uint16_t, FloatTag>(), hn::BitCast(ints, result));
}
#else
GRADTHRU_HD FloatVec float_of_half(Halves half) {
  return hn::PromoteTo(FloatTag(), hn::BitCast(hn::Rebind<hwy::float16_t, FloatTag>(), half));
}

GRADTHRU_HD Halves half_of_float(FloatVec x) {
  const hn::Rebind<hwy::float16_t, FloatTag> h;
  return hn::BitCast(hn::Rebind<uint16_t, FloatTag>(), hn::DemoteTo(h, x));
}
#endif

inline void from_half(const uint16_t* in, float* out, int64_t n) {
  const hn::Rebind<uint16_t, FloatTag> u;
  convert(in, out, n, [&](const uint16_t* from, float* to) {
    hn::StoreU(float_of_half(hn::LoadU(u, from)), FloatTag(), to);
  });
}

inline void to_half(const float* in, uint16_t* out, int64_t n) {
  const hn::Rebind<uint16_t, FloatTag> u;
  convert(in, out, n, [&](const float* from, uint16_t* to) {
    hn::StoreU(half_of_float(hn::LoadU(FloatTag(), from)), u, to);
  });
}

inline void from_bfloat16(const uint16_t* in, float* out, int64_t n) {
  const hn::Rebind<uint16_t, FloatTag> u;
  const UintTag wide;
  convert(in, out, n, [&](const uint16_t* from, float* to) {
    const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(u, from)));
    hn::StoreU(hn::BitCast(FloatTag(), bits), FloatTag(), to);
  });
}

/// To the nearest, ties to even; NaN stays NaN.
inline void to_bfloat16(const float* in, uint16_t* out, int64_t n) {
  const hn::Rebind<uint16_t, FloatTag> u;
  const UintTag wide;
  const IntTag ints;
  convert(in, out, n, [&](const float* from, uint16_t* to) {
    const auto x = hn::LoadU(FloatTag(), from);
    const auto bits = hn::BitCast(wide, x);
    const auto tie = hn::And(hn::ShiftRight<16>(bits), hn::Set(wide, 1));
    const auto nearest = hn::Add(bits, hn::Add(tie, hn::Set(wide, 0x7fff)));
    const auto nan = hn::RebindMask(wide, hn::Ne(x, x));
    const auto result = hn::ShiftRight<16>(hn::IfThenElse(nan, hn::Set(wide, 0x7fc00000), nearest));
    hn::StoreU(hn::DemoteTo(u, hn::BitCast(ints, result)), u, to);
  });
}

}  // namespace gradthru::cpu::HWY_NAMESPACE
