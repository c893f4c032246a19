#pragma once

#include <cstdint>
#include <type_traits>

// Functions of both devices. On the CPU the same text is compiled for several instruction sets, so
// nothing of it may become a symbol that the linker shares between them.
#if defined(__CUDACC__)
#define GRADTHRU_HD __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define GRADTHRU_HD inline __attribute__((always_inline))
#else
#define GRADTHRU_HD inline
#endif

namespace gradthru::math {

// Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011) and the
// layout of the random stream: a cell is (seed, offset, row, column) and owns one 64-bit word.

inline constexpr uint32_t kPhiloxFactor0 = 0xD2511F53u, kPhiloxFactor1 = 0xCD9E8D57u;
inline constexpr uint32_t kPhiloxStep0 = 0x9E3779B9u, kPhiloxStep1 = 0xBB67AE85u;  // of the keys

struct Words {
  uint32_t w[4];
};

GRADTHRU_HD Words philox(Words counter, uint64_t seed) {
  uint32_t key0 = static_cast<uint32_t>(seed);
  uint32_t key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{kPhiloxFactor0} * counter.w[0];
    const uint64_t product1 = uint64_t{kPhiloxFactor1} * counter.w[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.w[1] ^ key0,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.w[3] ^ key1,
                static_cast<uint32_t>(product0)}};
    key0 += kPhiloxStep0;
    key1 += kPhiloxStep1;
  }
  return counter;
}

/// The counter of a block of four columns. offset < 2^47, row < 2^48, column < 2^34; `low` selects
/// the low words of the cells.
GRADTHRU_HD Words cell_counter(uint64_t offset, uint64_t row, uint64_t column, bool low) {
  return {{static_cast<uint32_t>(column >> 2), static_cast<uint32_t>(row),
           static_cast<uint32_t>(offset),
           static_cast<uint32_t>(row >> 32) + (static_cast<uint32_t>(offset >> 32) << 16) +
               (low ? 0x80000000u : 0u)}};
}

/// The lower half of the 64-bit word of one cell.
GRADTHRU_HD uint32_t low_word(uint64_t seed, uint64_t offset, uint64_t row, uint64_t column) {
  return philox(cell_counter(offset, row, column, true), seed).w[column & 3];
}

/// The 64-bit word of one cell.
GRADTHRU_HD uint64_t cell_word(uint64_t seed, uint64_t offset, uint64_t row, uint64_t column) {
  const Words high = philox(cell_counter(offset, row, column, false), seed);
  return (uint64_t{high.w[column & 3]} << 32) | low_word(seed, offset, row, column);
}

/// (floor(W / 2^12) + 1/2) 2^-52: exact in double, never 0 or 1.
GRADTHRU_HD double index_uniform(uint64_t word) {
  return (static_cast<double>(word >> 12) + 0.5) * 0x1p-52;
}

/// (W + 1/2) 2^-64 to double precision at both ends of the range.
GRADTHRU_HD double unit_from_word(uint64_t word) {
  // Below 2^52 the half still matters; above it is lost in the rounding of W.
  return (static_cast<double>(word) + 0.5) * 0x1p-64;
}

/// Single precision keeps its full relative depth in both tails with the high word alone unless the
/// cell lies in the outer 1/128. Double always takes all 64 bits.
GRADTHRU_HD bool needs_low_word(uint32_t high) {
  return high < (1u << 24) || high >= 0xff000000u;
}

/// v in (0, 1) and 1 - v, each rounded on its own.
template <class T>
struct Unit {
  T v, complement;
};

template <class T>
GRADTHRU_HD Unit<T> unit_of_high(uint32_t high) {
  return {static_cast<T>((high + 0.5) * 0x1p-32), static_cast<T>((~high + 0.5) * 0x1p-32)};
}

template <class T>
GRADTHRU_HD Unit<T> unit_of_word(uint64_t word) {
  return {static_cast<T>(unit_from_word(word)), static_cast<T>(unit_from_word(~word))};
}

/// Serves the four cells of a block from one Philox call for each of their words.
class CellCache {
 public:
  GRADTHRU_HD uint32_t high(uint64_t seed, uint64_t offset, uint64_t row, uint64_t column) {
    return fetch(high_, seed, offset, row, column, false);
  }
  GRADTHRU_HD uint64_t word(uint64_t seed, uint64_t offset, uint64_t row, uint64_t column) {
    return (uint64_t{high(seed, offset, row, column)} << 32) |
           fetch(low_, seed, offset, row, column, true);
  }

 private:
  struct Block {
    uint64_t seed = 0, offset = 0, row = 0, block = ~uint64_t{0};
    Words words{};
  };

  GRADTHRU_HD static uint32_t fetch(Block& kept, uint64_t seed, uint64_t offset, uint64_t row,
                                    uint64_t column, bool low) {
    if (kept.block != column >> 2 || kept.row != row || kept.offset != offset ||
        kept.seed != seed) {
      kept = {seed, offset, row, column >> 2, philox(cell_counter(offset, row, column, low), seed)};
    }
    return kept.words.w[column & 3];
  }

  Block high_, low_;
};

}  // namespace gradthru::math
