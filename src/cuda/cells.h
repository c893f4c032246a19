#pragma once

#include <cmath>

#include "math/philox.h"

// Cells of the random stream without memory: words are picked by selection, since an array that is
// indexed at run time leaves the registers of a thread.
namespace gradthru::cuda {

/// Word n of four.
GRADTHRU_HD uint32_t word_of(const math::Words& words, int n) {
  const uint32_t first_pair = n == 0 ? words.w[0] : words.w[1];
  const uint32_t second_pair = n == 2 ? words.w[2] : words.w[3];
  return n < 2 ? first_pair : second_pair;
}

/// The words of the four columns around `column`, high or low.
template <class Stream>
GRADTHRU_HD math::Words words_around(const Stream& s, uint64_t column, bool low) {
  return math::philox(math::cell_counter(s.offset, s.row, column, low), s.seed);
}

template <class Stream>
GRADTHRU_HD uint32_t cell_half(const Stream& s, uint64_t column, bool low) {
  return word_of(words_around(s, column, low), static_cast<int>(column & 3));
}

/// E ~ Exp(1) of a cell; `low()` gives its low word where Real or the cell needs it. v and 1 - v
/// are the same function of the word and of its complement, so one conversion serves both tails.
template <class Real, class Low>
GRADTHRU_HD Real exponential_of(uint32_t high, const Low& low) {
  const bool lower_half = high < 0x80000000u;
  Real nearer;
  if (std::is_same_v<Real, double> || math::needs_low_word(high)) {
    const uint64_t word = (uint64_t{high} << 32) | low();
    nearer = math::unit_of_word<Real>(lower_half ? word : ~word).v;
  } else {
    nearer = math::unit_of_high<Real>(lower_half ? high : ~high).v;
  }
  return lower_half ? -std::log1p(-nearer) : -std::log(nearer);
}

/// log v and log(1 - v) of a cell.
template <class Real>
struct LogPair {
  Real v, complement;
};

template <class Real>
GRADTHRU_HD LogPair<Real> logistic_of(uint32_t high, uint32_t low) {
  const uint64_t word = (uint64_t{high} << 32) | low;
  const bool lower_half = high < 0x80000000u;
  const Real nearer = math::unit_of_word<Real>(lower_half ? word : ~word).v;
  const Real log_near = std::log(nearer), log_far = std::log1p(-nearer);
  return lower_half ? LogPair<Real>{log_near, log_far} : LogPair<Real>{log_far, log_near};
}

}  // namespace gradthru::cuda
