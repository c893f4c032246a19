#pragma once

#include <algorithm>

#include "cpu/simd/functions.h"

// Philox4x32-10 on sixteen counters, and the noise made of it. A 64-bit lane carries one counter
// word in its lower half, which is what the widening multiplication reads; what is in the upper
// half does not matter.
namespace gradthru::cpu::HWY_NAMESPACE {

template <class Tag>
struct CountersOf {
  hn::Vec<Tag> c0, c1, c2, c3;
};
using Counters = CountersOf<WordTag>;

template <class Tag>
GRADTHRU_HD void philox_round(CountersOf<Tag>* c, hn::Vec<Tag> key0, hn::Vec<Tag> key1) {
  const Tag w;
  const hn::Repartition<uint32_t, Tag> u;
  const auto multiply_low_halves = [&](hn::Vec<Tag> a, uint32_t factor) {
    return hn::MulEven(hn::BitCast(u, a), hn::BitCast(u, hn::Set(w, factor)));
  };
  const auto product0 = multiply_low_halves(c->c0, math::kPhiloxFactor0);
  const auto product1 = multiply_low_halves(c->c2, math::kPhiloxFactor1);
  c->c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), c->c1), key0);
  c->c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), c->c3), key1);
  c->c1 = product1;
  c->c3 = product0;
}

/// The keys of the ten rounds, in memory, from where they are broadcast at no cost.
struct RoundKeys {
  uint64_t key[20];

  explicit RoundKeys(uint64_t seed) {
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      key[2 * round] = key0;
      key[2 * round + 1] = key1;
      key0 += math::kPhiloxStep0;
      key1 += math::kPhiloxStep1;
    }
  }
};

/// Two sets at once, for the multiplications' latency.
template <class Tag>
GRADTHRU_HD void philox(const RoundKeys& keys, CountersOf<Tag>* a, CountersOf<Tag>* b) {
  const Tag w;
  for (int round = 0; round < 10; ++round) {
    const auto key0 = hn::Set(w, keys.key[2 * round]), key1 = hn::Set(w, keys.key[2 * round + 1]);
    philox_round(a, key0, key1);
    philox_round(b, key0, key1);
  }
}

/// The words of four columns, from a multiple of 4, for sixteen successive rows: word j of lane i
/// belongs to (row + i, column + j).
GRADTHRU_HD void words_of_rows(const RoundKeys& keys, uint64_t offset, uint64_t row,
                               uint64_t column, bool low, Uints words[4]) {
  const WordTag w;
  const UintTag u;
  const math::Words of_row_0 = math::cell_counter(offset, 0, column, low);
  const auto c0 = hn::Set(w, of_row_0.w[0]);
  const auto c2 = hn::Set(w, of_row_0.w[2]);
  const auto high_part = hn::Set(w, of_row_0.w[3]);
  GRADTHRU_PARTS(i) {
    const auto even_rows = hn::Add(hn::Set(w, row + static_cast<uint64_t>(i * kWidth)),
                                   hn::ShiftLeft<1>(hn::Iota(w, 0)));
    const auto odd_rows = hn::Add(even_rows, hn::Set(w, 1));
    Counters even{c0, even_rows, c2, hn::Add(hn::ShiftRight<32>(even_rows), high_part)};
    Counters odd{c0, odd_rows, c2, hn::Add(hn::ShiftRight<32>(odd_rows), high_part)};
    philox(keys, &even, &odd);
    const auto merge = [&](WordVec e, WordVec o) {
      return hn::OddEven(hn::BitCast(u, hn::ShiftLeft<32>(o)), hn::BitCast(u, e));
    };
    words[0].part[i] = merge(even.c0, odd.c0);
    words[1].part[i] = merge(even.c1, odd.c1);
    words[2].part[i] = merge(even.c2, odd.c2);
    words[3].part[i] = merge(even.c3, odd.c3);
  }
}

/// The high words of `count` columns, from a multiple of it, of one row.
template <int count>
__attribute__((noinline)) void words_of_columns(const RoundKeys& keys, uint64_t offset,
                                                uint64_t row, uint64_t column,
                                                Uints words[count / 16]) {
  using Tag = hn::CappedTag<uint64_t, std::min(kWidth / 2, count / 4)>;
  const Tag w;
  constexpr int kCounters = static_cast<int>(hn::MaxLanes(w));  // in one vector
  const math::Words first = math::cell_counter(offset, row, column, false);
  HWY_ALIGN uint64_t pairs[count / 2];
  const auto store = [&](const CountersOf<Tag>& c, int i) {
    const auto lower = hn::Set(w, 0xffffffffu);
    const auto first_pair = hn::Or(hn::And(c.c0, lower), hn::ShiftLeft<32>(c.c1));
    const auto second_pair = hn::Or(hn::And(c.c2, lower), hn::ShiftLeft<32>(c.c3));
    hn::StoreInterleaved2(first_pair, second_pair, w, pairs + 2 * i);
  };
  for (int i = 0; i < count / 4; i += 2 * kCounters) {
    CountersOf<Tag> a{hn::Iota(w, first.w[0] + static_cast<uint64_t>(i)), hn::Set(w, first.w[1]),
                      hn::Set(w, first.w[2]), hn::Set(w, first.w[3])};
    CountersOf<Tag> b = a;
    b.c0 = hn::Add(a.c0, hn::Set(w, kCounters));
    philox(keys, &a, &b);
    store(a, i);
    if (i + kCounters < count / 4) store(b, i + kCounters);
  }
  for (int j = 0; j < count / 16; ++j) {
    GRADTHRU_PARTS(i) {
      words[j].part[i] =
          hn::BitCast(UintTag(), hn::LoadU(WordTag(), pairs + j * 8 + i * (kWidth / 2)));
    }
  }
}

GRADTHRU_HD Uints complements(const Uints& words) {
  Uints r;
  GRADTHRU_PARTS(i) r.part[i] = hn::Not(words.part[i]);
  return r;
}

/// v of the lanes `coarse` of count x 16 from all 64 bits of their cells.
template <int count, class LowWord>
__attribute__((noinline)) void refine(const Uints* high, uint64_t coarse, const LowWord& low_word,
                                      FloatVec* units) {
  HWY_ALIGN uint32_t words[16 * count];
  HWY_ALIGN float values[16 * count];
  for (int i = 0; i < count * kParts; ++i) {
    hn::StoreU(high[i / kParts].part[i % kParts], UintTag(), words + i * kWidth);
    hn::StoreU(units[i], FloatTag(), values + i * kWidth);
  }
  for (; coarse != 0; coarse &= coarse - 1) {
    const int lane = __builtin_ctzll(coarse);
    const uint64_t word = uint64_t{words[lane]} << 32 | low_word(lane / 16, lane % 16);
    // Far below and far above 1/2 alike: the distance from the nearer end.
    values[lane] = static_cast<float>(math::unit_from_word(word >> 63 == 0 ? word : ~word));
  }
  for (int i = 0; i < count * kParts; ++i) units[i] = hn::LoadU(FloatTag(), values + i * kWidth);
}

/// log v of count x 16 cells, at most 64, from their high words. Where these are not enough
/// low_word(which, lane) is asked for.
template <int count, class LowWord>
GRADTHRU_HD void log_of_cells(const Uints* high, const LowWord& low_word, Floats* result) {
  constexpr int n = count * kParts;
  UintVec words[n];
  GRADTHRU_STEP(i) words[i] = high[i / kParts].part[i % kParts];
  UnitsForLog<n> units(words);
  uint64_t coarse = 0;
  GRADTHRU_STEP(i) {
    uint8_t bits[8] = {};
    hn::StoreMaskBits(UintTag(), units.coarse[i], bits);
    coarse |= (uint64_t{bits[0]} | uint64_t{bits[1]} << 8) << (i * kWidth);
  }
  if (HWY_UNLIKELY(coarse != 0)) refine<count>(high, coarse, low_word, units.value);
  FloatVec logs[n];
  units.log(logs);
  GRADTHRU_STEP(i) result[i / kParts].part[i % kParts] = logs[i];
}

}  // namespace gradthru::cpu::HWY_NAMESPACE
