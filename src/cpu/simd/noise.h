#pragma once

#include <cmath>

#include "cpu/simd/functions.h"

// Philox4x32-10 on sixteen counters, and the noise made of it. A 64-bit lane carries one counter
// word in its lower half, which is what the widening multiplication reads; what is in the upper
// half does not matter.
namespace gradthru::cpu::HWY_NAMESPACE {

struct Counters {
  WordVec c0, c1, c2, c3;
};

GRADTHRU_HD WordVec multiply_low_halves(WordVec a, WordVec b) {
  const UintTag u;
  return hn::MulEven(hn::BitCast(u, a), hn::BitCast(u, b));
}

GRADTHRU_HD void philox_round(Counters* c, WordVec key0, WordVec key1) {
  const WordTag w;
  const auto product0 = multiply_low_halves(c->c0, hn::Set(w, 0xD2511F53u));
  const auto product1 = multiply_low_halves(c->c2, hn::Set(w, 0xCD9E8D57u));
  c->c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), c->c1), key0);
  c->c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), c->c3), key1);
  c->c1 = product1;
  c->c3 = product0;
}

/// Two sets at once, for the multiplications' latency.
GRADTHRU_HD void philox(uint64_t seed, Counters* a, Counters* b) {
  const WordTag w;
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    philox_round(a, hn::Set(w, key0), hn::Set(w, key1));
    philox_round(b, hn::Set(w, key0), hn::Set(w, key1));
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

/// The words of one block of four columns for sixteen successive rows: word j of lane i belongs to
/// (row + i, 4 block + j).
GRADTHRU_LONG void words_of_rows(uint64_t seed, uint64_t offset, uint64_t row, uint64_t block,
                                 bool low, Uints words[4]) {
  const WordTag w;
  const UintTag u;
  const auto c0 = hn::Set(w, static_cast<uint32_t>(block));
  const auto c2 = hn::Set(w, static_cast<uint32_t>(offset));
  const auto high_part =
      hn::Set(w, (static_cast<uint32_t>(offset >> 32) << 16) + (low ? 0x80000000u : 0u));
  GRADTHRU_PARTS(i) {
    const auto even_rows = hn::Add(hn::Set(w, row + static_cast<uint64_t>(i * kWidth)),
                                   hn::ShiftLeft<1>(hn::Iota(w, 0)));
    const auto odd_rows = hn::Add(even_rows, hn::Set(w, 1));
    Counters even{c0, even_rows, c2, hn::Add(hn::ShiftRight<32>(even_rows), high_part)};
    Counters odd{c0, odd_rows, c2, hn::Add(hn::ShiftRight<32>(odd_rows), high_part)};
    philox(seed, &even, &odd);
    const auto merge = [&](WordVec e, WordVec o) {
      return hn::OddEven(hn::BitCast(u, hn::ShiftLeft<32>(o)), hn::BitCast(u, e));
    };
    words[0].part[i] = merge(even.c0, odd.c0);
    words[1].part[i] = merge(even.c1, odd.c1);
    words[2].part[i] = merge(even.c2, odd.c2);
    words[3].part[i] = merge(even.c3, odd.c3);
  }
}

/// The high words of sixteen columns, from a multiple of 16, of one row.
GRADTHRU_LONG Uints words_of_columns(uint64_t seed, uint64_t offset, uint64_t row,
                                     uint64_t column) {
  const math::Words first = math::cell_counter(offset, row, column, false);
  using FourTag = hn::CappedTag<uint64_t, 4>;
  constexpr int kStep = static_cast<int>(hn::MaxLanes(FourTag()));
  const FourTag w;
  const hn::Repartition<uint32_t, FourTag> u;
  HWY_ALIGN uint64_t pairs[8];
  for (int i = 0; i < 4; i += kStep) {
    auto c0 = hn::Add(hn::Set(w, first.w[0]), hn::Iota(w, static_cast<uint64_t>(i)));
    auto c1 = hn::Set(w, first.w[1]), c2 = hn::Set(w, first.w[2]), c3 = hn::Set(w, first.w[3]);
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const auto product0 =
          hn::MulEven(hn::BitCast(u, c0), hn::BitCast(u, hn::Set(w, 0xD2511F53u)));
      const auto product1 =
          hn::MulEven(hn::BitCast(u, c2), hn::BitCast(u, hn::Set(w, 0xCD9E8D57u)));
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), c1), hn::Set(w, key0));
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), c3), hn::Set(w, key1));
      c1 = product1;
      c3 = product0;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    const auto lower = hn::Set(w, 0xffffffffu);
    const auto first_pair = hn::Or(hn::And(c0, lower), hn::ShiftLeft<32>(c1));
    const auto second_pair = hn::Or(hn::And(c2, lower), hn::ShiftLeft<32>(c3));
    hn::StoreInterleaved2(first_pair, second_pair, w, pairs + 2 * i);
  }
  Uints words;
  GRADTHRU_PARTS(i) {
    words.part[i] = hn::BitCast(UintTag(), hn::LoadU(WordTag(), pairs + i * (kWidth / 2)));
  }
  return words;
}

/// Lanes whose cell lies in the outer 1/128, where single precision needs the low word too.
GRADTHRU_HD uint32_t lanes_needing_low_words(const Uints& high) {
  const UintTag u;
  uint32_t lanes = 0;
  GRADTHRU_PARTS(i) {
    const auto outer =
        hn::Eq(hn::ShiftRight<25>(hn::Add(high.part[i], hn::Set(u, 1u << 24))), hn::Zero(u));
    uint8_t bits[8] = {};
    hn::StoreMaskBits(u, outer, bits);
    lanes |= (uint32_t{bits[0]} | uint32_t{bits[1]} << 8) << (i * kWidth);
  }
  return lanes;
}

/// log v and log(1 - v) of a cell, from all its bits.
struct LogPair {
  float log_v, log_1mv;
};
inline LogPair log_pair_of_cell(uint64_t seed, uint64_t offset, uint64_t row, uint64_t column) {
  const uint64_t word = math::cell_word(seed, offset, row, column);
  const auto v = math::unit_of_word<double>(word);
  const bool lower_half = word < (uint64_t{1} << 63);
  return {static_cast<float>(lower_half ? std::log(v.v) : std::log1p(-v.complement)),
          static_cast<float>(lower_half ? std::log1p(-v.v) : std::log(v.complement))};
}

GRADTHRU_HD Floats negative_log_1mv(const Uints& high) {
  Floats r;
  GRADTHRU_PARTS(i) r.part[i] = hn::Neg(log_of_word(hn::Not(high.part[i])));
  return r;
}

GRADTHRU_HD Floats log_v(const Uints& high) {
  Floats r;
  GRADTHRU_PARTS(i) r.part[i] = log_of_word(high.part[i]);
  return r;
}

}  // namespace gradthru::cpu::HWY_NAMESPACE
