#pragma once

#include "cpu/simd/noise.h"

namespace gradthru::cpu::HWY_NAMESPACE {

/// Every lane owns a row: for few categories. Element k of the row in lane i stands at [16 k + i].
class RowsInLanes : public LaneArithmetic {
 public:
  using I = Ints;
  using D = Doubles;
  using Rows = uint64_t;  ///< of lane 0; the others follow it
  using Stream = math::RowStream<RowsInLanes>;

  static constexpr int64_t kMaxCategories = 64;

  static constexpr int64_t row_size(int64_t K) { return K * 16; }
  GRADTHRU_HD static V load(const float* p, int64_t k) { return load16(p + k * 16); }
  GRADTHRU_HD static void store(float* p, int64_t k, const V& v) { store16(v, p + k * 16); }

  GRADTHRU_HD static V at(const float* p, const I& index) {
    const IntTag d;
    V r;
    GRADTHRU_PARTS(i) {
      const auto lane = hn::Iota(d, i * kWidth);
      const auto element = hn::Add(hn::ShiftLeft<4>(index.part[i]), lane);
      r.part[i] = hn::GatherIndex(FloatTag(), p, element);
    }
    return r;
  }

  GRADTHRU_HD static B is(int64_t k, const I& index) {
    const auto column = hn::Set(IntTag(), static_cast<int32_t>(k));
    B r;
    GRADTHRU_PARTS(i) {
      r.part[i] = hn::RebindMask(FloatTag(), hn::Eq(index.part[i], column));
    }
    return r;
  }

  template <class Body>
  GRADTHRU_HD static void each(int64_t K, const Body& body) {
    for (int64_t k = 0; k < K; ++k) body(k);
  }
  template <class Body>
  GRADTHRU_HD static auto sum(int64_t K, const Body& body) {
    auto total = body(int64_t{0});
    for (int64_t k = 1; k < K; ++k) total = total + body(k);
    return total;
  }
  template <class Body>
  GRADTHRU_HD static V largest(int64_t K, const Body& body) {
    V top = body(int64_t{0});
    for (int64_t k = 1; k < K; ++k) top = max(top, body(k));
    return top;
  }

  template <class Body>
  GRADTHRU_HD static I first(int64_t K, const Body& body) {
    const IntTag d;
    I found = integers(K);
    for (int64_t k = K - 1; k >= 0; --k) {
      const B here = body(k);
      const auto column = hn::Set(d, static_cast<int32_t>(k));
      GRADTHRU_PARTS(i) {
        found.part[i] = hn::IfThenElse(hn::RebindMask(d, here.part[i]), column, found.part[i]);
      }
    }
    return found;
  }

  template <class Body>
  GRADTHRU_HD static I pick(int64_t K, const D& u, const Body& body) {
    const DoubleTag d;
    D running_sums[kMaxCategories];
    D total;
    GRADTHRU_PARTS(i) total.low[i] = total.high[i] = hn::Zero(d);
    for (int64_t k = 0; k < K; ++k) {
      total = total + widen(body(k));
      running_sums[k] = total;
    }
    D target;
    GRADTHRU_PARTS(i) {
      target.low[i] = hn::Mul(u.low[i], total.low[i]);
      target.high[i] = hn::Mul(u.high[i], total.high[i]);
    }
    // The running sums never fall: the first above the target comes after all that are not.
    const hn::RebindToSigned<DoubleTag> d_int;
    hn::Vec<decltype(d_int)> low[kParts], high[kParts];
    GRADTHRU_PARTS(i) low[i] = high[i] = hn::Zero(d_int);
    for (int64_t k = 0; k < K; ++k) {
      GRADTHRU_PARTS(i) {
        low[i] = hn::Sub(low[i], passed(running_sums[k].low[i], target.low[i]));
        high[i] = hn::Sub(high[i], passed(running_sums[k].high[i], target.high[i]));
      }
    }
    const IntTag d32;
    I index;
    GRADTHRU_PARTS(i) {
      index.part[i] = hn::ConcatEven(d32, hn::BitCast(d32, high[i]), hn::BitCast(d32, low[i]));
    }
    return within(index, K) ? index : last_positive_where_none(index, K, body);
  }

  GRADTHRU_HD static V exp(const V& a) { return exp16(a); }
  GRADTHRU_HD static V log(const V& a) { return log16(a); }
  GRADTHRU_HD static V log1p(const V& a) { return log1p16(a); }

  GRADTHRU_HD static D uniform(const Stream& s) {
    Uints high[4], low[4];
    words_of_rows(s.seed, s.offset, s.row, 0, false, high);
    words_of_rows(s.seed, s.offset, s.row, 0, true, low);
    D u;
    const hn::Half<UintTag> half;
    GRADTHRU_PARTS(i) {
      u.low[i] =
          uniform_of(hn::LowerHalf(half, high[0].part[i]), hn::LowerHalf(half, low[0].part[i]));
      u.high[i] =
          uniform_of(hn::UpperHalf(half, high[0].part[i]), hn::UpperHalf(half, low[0].part[i]));
    }
    return u;
  }

  /// One Philox call serves four columns: they are kept until the cursor leaves them.
  GRADTHRU_HD V exponential(const Stream& s, int64_t k) const {
    if ((k & 3) == 0) refill(s, static_cast<uint64_t>(k));
    return kept_[k & 3];
  }

  GRADTHRU_HD static I integers(int64_t x) {
    I r;
    GRADTHRU_PARTS(i) r.part[i] = hn::Set(IntTag(), static_cast<int32_t>(x));
    return r;
  }

 private:
  GRADTHRU_HD static hn::Vec<hn::RebindToSigned<DoubleTag>> passed(DoubleVec sum,
                                                                   DoubleVec target) {
    const hn::RebindToSigned<DoubleTag> d_int;
    return hn::BitCast(d_int, hn::VecFromMask(DoubleTag(), hn::Le(sum, target)));
  }

  GRADTHRU_HD static bool within(const I& index, int64_t K) {
    const auto limit = hn::Set(IntTag(), static_cast<int32_t>(K));
    bool all = true;
    GRADTHRU_PARTS(i) all = all && hn::AllTrue(IntTag(), hn::Lt(index.part[i], limit));
    return all;
  }

  template <class Body>
  GRADTHRU_HD static I last_positive_where_none(I index, int64_t K, const Body& body) {
    const IntTag d;
    const auto limit = hn::Set(d, static_cast<int32_t>(K));
    I last = integers(0);
    for (int64_t k = 0; k < K; ++k) {
      const B positive = less(set(0), body(k));
      const auto column = hn::Set(d, static_cast<int32_t>(k));
      GRADTHRU_PARTS(i) {
        last.part[i] = hn::IfThenElse(hn::RebindMask(d, positive.part[i]), column, last.part[i]);
      }
    }
    GRADTHRU_PARTS(i) {
      index.part[i] = hn::IfThenElse(hn::Lt(index.part[i], limit), index.part[i], last.part[i]);
    }
    return index;
  }

  /// (floor(W / 2^12) + 1/2) 2^-52 through the bits of a double in [2^52, 2^53).
  template <class Vec>
  GRADTHRU_HD static DoubleVec uniform_of(Vec high, Vec low) {
    const WordTag w;
    const DoubleTag d;
    const auto word = hn::Or(hn::ShiftLeft<20>(hn::PromoteTo(w, high)),
                             hn::ShiftRight<12>(hn::PromoteTo(w, low)));
    const auto biased = hn::BitCast(d, hn::Or(word, hn::Set(w, 0x4330000000000000u)));
    return hn::Mul(hn::Add(hn::Sub(biased, hn::Set(d, 0x1p52)), hn::Set(d, 0.5)),
                   hn::Set(d, 0x1p-52));
  }

  GRADTHRU_HD void refill(const Stream& s, uint64_t column) const {
    Uints words[4];
    words_of_rows(s.seed, s.offset, s.row, column >> 2, false, words);
    for (int j = 0; j < 4; ++j) {
      kept_[j] = negative_log_1mv(words[j]);
      uint32_t lanes = lanes_needing_low_words(words[j]);
      if (lanes != 0) mend(s, column + static_cast<uint64_t>(j), lanes, &kept_[j]);
    }
  }

  static __attribute__((noinline)) void mend(const Stream& s, uint64_t column, uint32_t lanes,
                                             V* values) {
    HWY_ALIGN float lane[16];
    store16(*values, lane);
    for (; lanes != 0; lanes &= lanes - 1) {
      const int i = __builtin_ctz(lanes);
      lane[i] =
          -log_pair_of_cell(s.seed, s.offset, s.row + static_cast<uint64_t>(i), column).log_1mv;
    }
    *values = load16(lane);
  }

  mutable V kept_[4];
};

}  // namespace gradthru::cpu::HWY_NAMESPACE
