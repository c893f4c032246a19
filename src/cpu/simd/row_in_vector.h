#pragma once

#include "cpu/simd/kernels.h"
#include "cpu/simd/noise.h"

namespace gradthru::cpu::HWY_NAMESPACE {

/// Words of the columns that a loop is at, so that many are made at once. They are kept for the
/// first offset that asks.
struct NoiseColumns {
  static constexpr int kCount = 64;
  int64_t first = -1;
  uint64_t offset;
  Uints words[kCount / 16];
};

/// Sixteen columns of the row, from k; fewer at its end.
struct FullCursor {
  int64_t k;
  NoiseColumns* noise;
};
struct PartCursor {
  int64_t k;
  NoiseColumns* noise;
  int count;
};

/// All lanes on one row: for many categories. Sums are taken in blocks of columns and the blocks in
/// their order, so that the bits do not depend on who computed which block.
class RowInVector : public LaneArithmetic {
 public:
  using I = int64_t;
  using D = double;
  using Rows = uint64_t;
  using Stream = math::RowStream<RowInVector>;

  static constexpr int64_t kBlock = 16384;  ///< columns that one thread works on
  static constexpr int64_t kPickBlock = 64;

  /// `totals` holds K / kPickBlock + 1 numbers; `run` may be null.
  RowInVector(uint64_t seed, double* totals, RunBlocks run)
      : keys_(seed), totals_(totals), run_(run) {}

  static constexpr int64_t row_size(int64_t K) { return K; }
  GRADTHRU_HD static V load(const float* p, FullCursor c) { return load16(p + c.k); }
  GRADTHRU_HD static void store(float* p, FullCursor c, const V& v) { store16(v, p + c.k); }
  GRADTHRU_HD static V load(const float* p, PartCursor c) {
    HWY_ALIGN float lane[16] = {};
    for (int i = 0; i < c.count; ++i) lane[i] = p[c.k + i];
    return load16(lane);
  }
  GRADTHRU_HD static void store(float* p, PartCursor c, const V& v) {
    HWY_ALIGN float lane[16];
    store16(v, lane);
    for (int i = 0; i < c.count; ++i) p[c.k + i] = lane[i];
  }
  GRADTHRU_HD static V at(const float* p, I i) { return floats(p[i]); }

  template <class Cursor>
  GRADTHRU_HD static B is(Cursor c, I index) {
    const int64_t lane = index - c.k;
    return lanes_equal(lane >= 0 && lane < 16 ? static_cast<int32_t>(lane) : -1);
  }

  template <class Body>
  GRADTHRU_HD void each(int64_t K, const Body& body) const {
    in_blocks(K, [&](int64_t, int64_t begin, int64_t end) {
      NoiseColumns noise;
      int64_t k = begin;
      for (; k + 16 <= end; k += 16) body(FullCursor{k, &noise});
      if (k < end) body(PartCursor{k, &noise, static_cast<int>(end - k)});
    });
  }

  template <class Body>
  GRADTHRU_HD auto sum(int64_t K, const Body& body) const {
    using Value = decltype(body(FullCursor{0, nullptr}));
    const auto block_sum = [&](int64_t begin, int64_t end) {
      Value total = zero(static_cast<Value*>(nullptr));
      NoiseColumns noise;
      int64_t k = begin;
      for (; k + 16 <= end; k += 16) total = total + body(FullCursor{k, &noise});
      if (k < end) {
        const int count = static_cast<int>(end - k);
        total = total + kept(body(PartCursor{k, &noise, count}), count);
      }
      return total;
    };
    if (K <= kBlock) return reduced(block_sum(0, K));
    Value total = zero(static_cast<Value*>(nullptr));
    fold_blocks<Value>(K, block_sum, [&](const Value& block) { total = total + block; });
    return reduced(total);
  }

  template <class Body>
  GRADTHRU_HD V largest(int64_t K, const Body& body) const {
    const V lowest = floats(-std::numeric_limits<float>::infinity());
    const auto block_top = [&](int64_t begin, int64_t end) {
      V top = lowest;
      NoiseColumns noise;
      int64_t k = begin;
      for (; k + 16 <= end; k += 16) top = max(top, body(FullCursor{k, &noise}));
      if (k < end) {
        const int count = static_cast<int>(end - k);
        top = max(top, select(lanes_below(count), body(PartCursor{k, &noise, count}), lowest));
      }
      return top;
    };
    V top = lowest;
    if (K <= kBlock) {
      top = block_top(0, K);
    } else {
      fold_blocks<V>(K, block_top, [&](const V& block) { top = max(top, block); });
    }
    return floats(largest_of_lanes(top));
  }

  template <class Body>
  GRADTHRU_HD I first(int64_t K, const Body& body) const {
    NoiseColumns noise;
    int64_t k = 0;
    for (; k + 16 <= K; k += 16) {
      const int lane = first_lane(body(FullCursor{k, &noise}));
      if (lane >= 0) return k + lane;
    }
    if (k < K) {
      const int count = static_cast<int>(K - k);
      const int lane = first_lane(both(body(PartCursor{k, &noise, count}), lanes_below(count)));
      if (lane >= 0) return k + lane;
    }
    return K;
  }

  /// Chooses among blocks of kPickBlock columns by their sums, then inside one.
  template <class Body>
  GRADTHRU_HD I pick(int64_t K, D u, const Body& body) const {
    in_blocks(K, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; k += kPickBlock) {
        totals_[k / kPickBlock] = total_of(k, k + kPickBlock < end ? k + kPickBlock : end, body);
      }
    });
    const int64_t blocks = (K + kPickBlock - 1) / kPickBlock;
    D total = 0;
    for (int64_t b = 0; b < blocks; ++b) total += totals_[b];
    const D target = u * total;
    D before = 0;
    int64_t chosen = -1, last_positive = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      if (totals_[b] > 0) last_positive = b;
      if (before + totals_[b] > target) {
        chosen = b;
        break;
      }
      before += totals_[b];
    }
    const bool none = chosen < 0;
    const int64_t begin = (none ? last_positive : chosen) * kPickBlock;
    const int64_t end = begin + kPickBlock < K ? begin + kPickBlock : K;
    return pick_within(begin, end, before, none ? std::numeric_limits<D>::infinity() : target,
                       body);
  }

  GRADTHRU_HD static V exp(const V& a) { return exp16(a); }
  GRADTHRU_HD static V log(const V& a) { return log16(a); }
  GRADTHRU_HD static V log1p(const V& a) { return log1p16(a); }

  GRADTHRU_HD static D uniform(const Stream& s) {
    return math::index_uniform(math::cell_word(s.seed, s.offset, s.row, 0));
  }

  template <class Cursor>
  GRADTHRU_HD V exponential(const Stream& s, Cursor c) const {
    const Uints complement = complements(words_at(s, c));
    Floats log_1mv;
    log_of_cells<1>(
        &complement,
        [&](int, int lane) { return ~math::low_word(s.seed, s.offset, s.row, column_of(c, lane)); },
        &log_1mv);
    return -log_1mv;
  }

  template <class Cursor>
  GRADTHRU_HD void logistic_pair(const Stream& s, Cursor c, V* log_of_v, V* log_of_1mv) const {
    const Uints high = words_at(s, c);
    const Uints both[2] = {high, complements(high)};
    Floats logs[2];
    log_of_cells<2>(
        both,
        [&](int which, int lane) {
          const uint32_t low = math::low_word(s.seed, s.offset, s.row, column_of(c, lane));
          return which == 0 ? low : ~low;
        },
        logs);
    *log_of_v = logs[0];
    *log_of_1mv = logs[1];
  }

 private:
  template <class Cursor>
  GRADTHRU_HD static uint64_t column_of(Cursor c, int lane) {
    return static_cast<uint64_t>(c.k) + static_cast<uint64_t>(lane);
  }

  /// The cursor's column must be a multiple of 16.
  template <class Cursor>
  GRADTHRU_HD Uints words_at(const Stream& s, Cursor c) const {
    NoiseColumns& kept = *c.noise;
    if (kept.first < 0) kept.offset = s.offset;
    if (kept.offset != s.offset) {
      Uints words;
      words_of_columns<16>(keys_, s.offset, s.row, static_cast<uint64_t>(c.k), &words);
      return words;
    }
    const int64_t first = c.k / NoiseColumns::kCount * NoiseColumns::kCount;
    if (kept.first != first) {
      kept.first = first;
      words_of_columns<NoiseColumns::kCount>(keys_, s.offset, s.row, static_cast<uint64_t>(first),
                                             kept.words);
    }
    return kept.words[(c.k - first) / 16];
  }

  GRADTHRU_HD static B lanes_equal(int32_t lane) {
    B r;
    GRADTHRU_PARTS(i) {
      r.part[i] = hn::RebindMask(FloatTag(),
                                 hn::Eq(hn::Iota(IntTag(), i * kWidth), hn::Set(IntTag(), lane)));
    }
    return r;
  }
  GRADTHRU_HD static B lanes_below(int count) {
    B r;
    GRADTHRU_PARTS(i) {
      r.part[i] = hn::RebindMask(FloatTag(),
                                 hn::Lt(hn::Iota(IntTag(), i * kWidth), hn::Set(IntTag(), count)));
    }
    return r;
  }
  GRADTHRU_HD static int first_lane(const B& b) {
    GRADTHRU_PARTS(i) {
      const auto lane = hn::FindFirstTrue(FloatTag(), b.part[i]);
      if (lane >= 0) return static_cast<int>(lane) + i * kWidth;
    }
    return -1;
  }

  GRADTHRU_HD static V zero(V*) { return floats(0); }
  template <int n>
  GRADTHRU_HD static math::Sums<V, n> zero(math::Sums<V, n>*) {
    math::Sums<V, n> r;
    for (int i = 0; i < n; ++i) r.of[i] = floats(0);
    return r;
  }
  GRADTHRU_HD static V kept(const V& v, int count) {
    return select(lanes_below(count), v, floats(0));
  }
  template <int n>
  GRADTHRU_HD static math::Sums<V, n> kept(math::Sums<V, n> v, int count) {
    for (int i = 0; i < n; ++i) v.of[i] = kept(v.of[i], count);
    return v;
  }
  GRADTHRU_HD static V reduced(const V& v) { return floats(sum_of_lanes(v)); }
  template <int n>
  GRADTHRU_HD static math::Sums<V, n> reduced(math::Sums<V, n> v) {
    for (int i = 0; i < n; ++i) v.of[i] = reduced(v.of[i]);
    return v;
  }

  template <class Work>
  GRADTHRU_HD void in_blocks(int64_t K, const Work& work) const {
    const int64_t blocks = (K + kBlock - 1) / kBlock;
    const auto one = [&](int64_t b) {
      const int64_t begin = b * kBlock;
      work(b, begin, begin + kBlock < K ? begin + kBlock : K);
    };
    if (run_ == nullptr || blocks < 2) {
      for (int64_t b = 0; b < blocks; ++b) one(b);
      return;
    }
    const void* context = &one;
    run_(blocks, const_cast<void*>(context),
         [](void* c, int64_t b) { (*static_cast<decltype(one)*>(c))(b); });
  }

  /// Results of the blocks in their order; a group of them is computed at a time, on all threads.
  template <class Value, class Work, class Fold>
  GRADTHRU_HD void fold_blocks(int64_t K, const Work& work, const Fold& fold) const {
    constexpr int64_t kGroup = 64;
    Value results[kGroup];
    for (int64_t start = 0; start < K; start += kGroup * kBlock) {
      const int64_t size = K - start < kGroup * kBlock ? K - start : kGroup * kBlock;
      in_blocks(size, [&](int64_t b, int64_t begin, int64_t end) {
        results[b] = work(start + begin, start + end);
      });
      const int64_t blocks = (size + kBlock - 1) / kBlock;
      for (int64_t b = 0; b < blocks; ++b) fold(results[b]);
    }
  }

  template <class Body>
  GRADTHRU_HD static D total_of(int64_t begin, int64_t end, const Body& body) {
    Doubles total;
    GRADTHRU_PARTS(i) total.low[i] = total.high[i] = hn::Zero(DoubleTag());
    NoiseColumns noise;
    int64_t k = begin;
    for (; k + 16 <= end; k += 16) total = total + widen(body(FullCursor{k, &noise}));
    if (k < end) {
      const int count = static_cast<int>(end - k);
      total = total + widen(kept(body(PartCursor{k, &noise, count}), count));
    }
    return sum_of_lanes(total);
  }

  template <class Body>
  GRADTHRU_HD static I pick_within(int64_t begin, int64_t end, D before, D target,
                                   const Body& body) {
    HWY_ALIGN float weights[kPickBlock];
    NoiseColumns noise;
    int64_t k = begin;
    for (; k + 16 <= end; k += 16) store16(body(FullCursor{k, &noise}), weights + (k - begin));
    if (k < end)
      store16(body(PartCursor{k, &noise, static_cast<int>(end - k)}), weights + (k - begin));
    I last_positive = begin;
    for (k = begin; k < end; ++k) {
      const D weight = weights[k - begin];
      before += weight;
      if (before > target) return k;
      if (weight > 0) last_positive = k;
    }
    return last_positive;
  }

  RoundKeys keys_;
  double* totals_;
  RunBlocks run_;
};

}  // namespace gradthru::cpu::HWY_NAMESPACE
