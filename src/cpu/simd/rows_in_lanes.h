#pragma once

#include "cpu/simd/kernels.h"
#include "cpu/simd/noise.h"

namespace gradthru::cpu::HWY_NAMESPACE {

/// Every lane owns a row: for few categories. Element k of the row in lane i stands at [16 k + i].
class RowsInLanes : public LaneArithmetic {
 public:
  using I = Ints;
  using Rows = uint64_t;  ///< of lane 0; the others follow it
  using Stream = math::RowStream<RowsInLanes>;

  /// Uniforms per row, of which the lower halves are made only where they decide.
  struct D {
    const RoundKeys& keys;
    Stream stream;
    Uints high;
  };

  explicit RowsInLanes(uint64_t seed) : keys_(seed) {}

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
    Doubles running_sums[kMaxLaneCategories];
    Doubles total;
    GRADTHRU_PARTS(i) total.low[i] = total.high[i] = hn::Zero(d);
    for (int64_t k = 0; k < K; ++k) {
      total = total + widen(body(k));
      running_sums[k] = total;
    }
    // u lies between the fractions that its upper half tells; only where a running sum lies there
    // too does the lower half matter.
    const Doubles below = fractions(u.high, 0), above = below + all_lanes(0x1p-32);
    const Columns at_least = columns_not_above(below * total, running_sums, K);
    const Columns at_most = columns_not_above(above * total, running_sums, K);
    I index = narrow(at_most);
    if (HWY_UNLIKELY(!same(at_least, at_most))) {
      index = narrow(columns_not_above(exactly(u) * total, running_sums, K));
    }
    return within(index, K) ? index : last_positive_where_none(index, K, body);
  }

  GRADTHRU_HD static V exp(const V& a) { return exp16(a); }
  GRADTHRU_HD static V log(const V& a) { return log16(a); }
  GRADTHRU_HD static V log1p(const V& a) { return log1p16(a); }

  GRADTHRU_HD D uniform(const Stream& s) const {
    Uints words[4];
    words_of_rows(keys_, s.offset, s.row, 0, false, words);
    return {keys_, s, words[0]};
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
  using ColumnTag = hn::RebindToSigned<DoubleTag>;
  /// A column of each row, as wide as the doubles that it is compared by.
  struct Columns {
    hn::Vec<ColumnTag> low[kParts], high[kParts];
  };

  /// The running sums never fall: the first above the target comes after all that are not.
  GRADTHRU_HD static Columns columns_not_above(const Doubles& target, const Doubles* sums,
                                               int64_t K) {
    const ColumnTag d;
    const auto passed = [&](DoubleVec sum, DoubleVec goal) {
      return hn::BitCast(d, hn::VecFromMask(DoubleTag(), hn::Le(sum, goal)));
    };
    Columns r;
    GRADTHRU_PARTS(i) r.low[i] = r.high[i] = hn::Zero(d);
    for (int64_t k = 0; k < K; ++k) {
      GRADTHRU_PARTS(i) {
        r.low[i] = hn::Sub(r.low[i], passed(sums[k].low[i], target.low[i]));
        r.high[i] = hn::Sub(r.high[i], passed(sums[k].high[i], target.high[i]));
      }
    }
    return r;
  }

  GRADTHRU_HD static bool same(const Columns& a, const Columns& b) {
    const ColumnTag d;
    bool all = true;
    GRADTHRU_PARTS(i) {
      all = all && hn::AllTrue(d, hn::Eq(a.low[i], b.low[i])) &&
            hn::AllTrue(d, hn::Eq(a.high[i], b.high[i]));
    }
    return all;
  }

  GRADTHRU_HD static I narrow(const Columns& wide) {
    const IntTag d;
    I r;
    GRADTHRU_PARTS(i) {
      r.part[i] = hn::ConcatEven(d, hn::BitCast(d, wide.high[i]), hn::BitCast(d, wide.low[i]));
    }
    return r;
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

  GRADTHRU_HD static Doubles all_lanes(double x) {
    Doubles r;
    GRADTHRU_PARTS(i) r.low[i] = r.high[i] = hn::Set(DoubleTag(), x);
    return r;
  }

  /// h 2^-32 + rest, exactly, through the bits of a double in [2^52, 2^53).
  GRADTHRU_HD static Doubles fractions(const Uints& h, double rest) {
    const WordTag w;
    const DoubleTag d;
    const hn::Half<UintTag> half;
    const auto fraction = [&](auto word) {
      const auto bits = hn::Or(hn::PromoteTo(w, word), hn::Set(w, 0x4330000000000000u));
      const auto whole = hn::Sub(hn::BitCast(d, bits), hn::Set(d, 0x1p52));
      return hn::Add(hn::Mul(whole, hn::Set(d, 0x1p-32)), hn::Set(d, rest));
    };
    Doubles r;
    GRADTHRU_PARTS(i) {
      r.low[i] = fraction(hn::LowerHalf(half, h.part[i]));
      r.high[i] = fraction(hn::UpperHalf(half, h.part[i]));
    }
    return r;
  }

  /// (floor(W / 2^12) + 1/2) 2^-52 of all bits W.
  static __attribute__((noinline)) Doubles exactly(const D& u) {
    Uints words[4], shifted;
    const Stream& s = u.stream;
    words_of_rows(u.keys, s.offset, s.row, 0, true, words);
    GRADTHRU_PARTS(i) shifted.part[i] = hn::ShiftRight<12>(words[0].part[i]);
    return fractions(u.high, 0x1p-53) + fractions(shifted, 0) * all_lanes(0x1p-20);
  }

  /// The words of four columns.
  static __attribute__((noinline)) void high_words(const RoundKeys& keys, const Stream& s,
                                                   uint64_t column, Uints words[4]) {
    words_of_rows(keys, s.offset, s.row, column, false, words);
  }

  GRADTHRU_HD void refill(const Stream& s, uint64_t column) const {
    Uints words[4];
    high_words(keys_, s, column, words);
    for (int j = 0; j < 4; j += 2) {
      const Uints pair[2] = {complements(words[j]), complements(words[j + 1])};
      Floats logs[2];
      log_of_cells<2>(
          pair,
          [&](int which, int lane) {
            return ~math::low_word(s.seed, s.offset, s.row + static_cast<uint64_t>(lane),
                                   column + static_cast<uint64_t>(j + which));
          },
          logs);
      kept_[j] = -logs[0];
      kept_[j + 1] = -logs[1];
    }
  }

  RoundKeys keys_;
  mutable V kept_[4];
};

}  // namespace gradthru::cpu::HWY_NAMESPACE
