#pragma once

#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

#include "math/philox.h"

namespace gradthru::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// One vector of T, as the formulas of src/math/psa.h want it.
template <class T>
struct PsaLanes {
  using Real = T;
  using Tag = hn::CappedTag<T, 16>;
  using Vec = hn::Vec<Tag>;
  static constexpr int64_t kWidth = static_cast<int64_t>(hn::MaxLanes(Tag()));

  struct V {
    Vec raw;

    GRADTHRU_HD friend V operator+(const V& a, const V& b) { return {hn::Add(a.raw, b.raw)}; }
    GRADTHRU_HD friend V operator-(const V& a, const V& b) { return {hn::Sub(a.raw, b.raw)}; }
    GRADTHRU_HD friend V operator*(const V& a, const V& b) { return {hn::Mul(a.raw, b.raw)}; }
    GRADTHRU_HD friend V operator/(const V& a, const V& b) { return {hn::Div(a.raw, b.raw)}; }
  };

  GRADTHRU_HD static V load(const T* p) { return {hn::LoadU(Tag(), p)}; }
  GRADTHRU_HD static void store(const V& v, T* p) { hn::StoreU(v.raw, Tag(), p); }
  GRADTHRU_HD static V set(double x) { return {hn::Set(Tag(), static_cast<T>(x))}; }
  GRADTHRU_HD static V abs(const V& a) { return {hn::Abs(a.raw)}; }
  GRADTHRU_HD static V min(const V& a, const V& b) { return {hn::Min(a.raw, b.raw)}; }
  GRADTHRU_HD static V fma(const V& a, const V& b, const V& c) {
    return {hn::MulAdd(a.raw, b.raw, c.raw)};
  }
  /// Within an ulp; what would overflow gives infinity or nearly so.
  GRADTHRU_HD static V exp(const V& a) {
    return {hn::Exp(Tag(), min(a, set(kLargestExponent)).raw)};
  }
  GRADTHRU_HD static V expm1(const V& a) {
    return {hn::Expm1(Tag(), min(a, set(kLargestExponent)).raw)};
  }
  GRADTHRU_HD static V with_sign(const V& v, const V& s) {
    return {hn::CopySignToAbs(v.raw, s.raw)};
  }
  GRADTHRU_HD static V flip(const V& v, const V& s) {
    const auto sign = hn::And(s.raw, hn::SignBit(Tag()));
    return {hn::Xor(v.raw, sign)};
  }
  GRADTHRU_HD static V negative(const V& s, const V& yes, const V& no) {
    return {hn::IfNegativeThenElse(s.raw, yes.raw, no.raw)};
  }
  GRADTHRU_HD static V or_nan(const V& v, const V& s) {
    return {hn::IfThenElse(hn::Eq(s.raw, s.raw), v.raw, s.raw)};
  }
  GRADTHRU_HD static T sum(const V& v) { return hn::GetLane(hn::SumOfLanes(Tag(), v.raw)); }

  /// Adds the sums of the lanes of n vectors to n numbers.
  template <int n>
  GRADTHRU_HD static void add_sums(const V* v, T* to) {
    if constexpr (n == 4 && sizeof(T) == 4) {
      const V turned = turned_sums(v);
      T lane[kWidth];
      store(turned, lane);
      for (int64_t k = 0; k < kWidth; k += 4) {
        for (int i = 0; i < 4; ++i) to[i] += lane[k + i];
      }
    } else {
      for (int i = 0; i < n; ++i) to[i] += sum(v[i]);
    }
  }

  /// Whether every lane is at most `limit`; not so for NaN.
  GRADTHRU_HD static bool all_within(const V& v, const V& limit) {
    return hn::AllTrue(Tag(), hn::Le(v.raw, limit.raw));
  }

 private:
  /// Of four vectors, in every four lanes, the sum of those lanes of each.
  GRADTHRU_HD static V turned_sums(const V* v) {
    const Tag d;
    const hn::Repartition<double, Tag> pairs;
    const auto first = hn::Add(hn::InterleaveLower(d, v[0].raw, v[1].raw),
                               hn::InterleaveUpper(d, v[0].raw, v[1].raw));
    const auto second = hn::Add(hn::InterleaveLower(d, v[2].raw, v[3].raw),
                                hn::InterleaveUpper(d, v[2].raw, v[3].raw));
    const auto low =
        hn::InterleaveLower(pairs, hn::BitCast(pairs, first), hn::BitCast(pairs, second));
    const auto high =
        hn::InterleaveUpper(pairs, hn::BitCast(pairs, first), hn::BitCast(pairs, second));
    return {hn::Add(hn::BitCast(d, low), hn::BitCast(d, high))};
  }

  static constexpr double kLargestExponent = sizeof(T) == 4 ? 104 : 706;
};

}  // namespace gradthru::cpu::HWY_NAMESPACE
