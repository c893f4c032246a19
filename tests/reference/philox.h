#pragma once

#include <array>
#include <cmath>
#include <cstdint>

// Random numbers as the specification has them: Philox4x32-10 word by word, one call per half cell.
// Exact integers wherever an integer can say it; each transform rounds once.
namespace reference {

using Block = std::array<uint32_t, 4>;

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, 2011).
inline Block philox(Block counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
        static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// The four 32-bit words of columns 4c .. 4c + 3; tag 0: high words, tag 1: low words.
inline Block words(uint64_t seed, uint64_t offset, uint64_t row, uint64_t block, int tag) {
  constexpr uint64_t kWord = uint64_t{1} << 32;
  const uint64_t top = row / kWord + (offset / kWord) * 65536 + (tag ? uint64_t{1} << 31 : 0);
  const Block counter = {static_cast<uint32_t>(block), static_cast<uint32_t>(row % kWord),
                         static_cast<uint32_t>(offset % kWord), static_cast<uint32_t>(top)};
  return philox(counter, static_cast<uint32_t>(seed % kWord), static_cast<uint32_t>(seed / kWord));
}

/// The 64-bit word W of one cell.
inline uint64_t cell(uint64_t seed, uint64_t offset, uint64_t row, uint64_t column) {
  const uint64_t high = words(seed, offset, row, column / 4, 0)[column % 4];
  const uint64_t low = words(seed, offset, row, column / 4, 1)[column % 4];
  return (high << 32) + low;
}

/// (W + 1/2) / 2^64, rounded once.
inline double midpoint(uint64_t word) {
  const unsigned __int128 twice = 2 * static_cast<unsigned __int128>(word) + 1;
  return std::ldexp(static_cast<double>(twice), -65);
}

inline double uniform_of(uint64_t word) {  // of an index draw: 52 bits
  return std::ldexp(static_cast<double>(word / 4096) + 0.5, -52);
}
inline double v_of(uint64_t word) {
  return midpoint(word);
}
inline double one_minus_v_of(uint64_t word) {
  return midpoint(~word);
}

inline double log_v_of(uint64_t word) {
  return std::log(v_of(word));
}
inline double log_one_minus_v_of(uint64_t word) {
  return std::log(one_minus_v_of(word));
}

inline double exponential_of(uint64_t word) {
  const bool lower_half = word < (uint64_t{1} << 63);
  return lower_half ? -std::log1p(-v_of(word)) : -std::log(one_minus_v_of(word));
}
inline double gumbel_of(uint64_t word) {
  return -std::log(exponential_of(word));
}
inline double logistic_of(uint64_t word) {
  return log_v_of(word) - log_one_minus_v_of(word);
}

}  // namespace reference
