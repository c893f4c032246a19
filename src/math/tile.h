#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "math/philox.h"

namespace gradthru::math {

// The tile: lanes that share the text of a row function. Lanes lie along one row, or every lane
// owns a row of its own. A row function sees only this interface, and the tile owns its loops, so
// that it decides about lanes beyond the row's end, blocks, threads and the order of sums:
//
//   Real                     element type in memory
//   V, B                     values of the lanes: real, predicate
//   I                        a category of each row
//   D                        wide real, for sums that must not lose digits
//   set(x)                   a scalar in every lane
//   each(K, body)            body(k) for all columns of the row, ascending. k is a cursor; what one
//                            loop stored the next one may read. Bodies must not write to variables.
//   sum(K, body)             sum of body(k), in every lane of the row; a V or Sums of them
//   largest(K, body)         likewise the largest
//   first(K, body)           the lowest column whose predicate body(k) holds, K if there is none
//   pick(K, u, body)         inverse CDF of the weights body(k) at u: the smallest k whose running
//                            sum exceeds u times the total, sums in D; if rounding leaves none, the
//                            last k with positive weight. A weight of 0 is never picked.
//   load(p, k), store(p, k, v)  the row's elements at cursor k
//   at(p, i)                 element i of the row, in every lane of that row
//   is(k, i)                 whether the lane's column is i
//   row_size(K)              elements that a row of scratch takes in memory
//   equal, less, both, either, select, min, max, abs, exp, log, log1p
//   fma(a, b, c)             a b + c, rounded once
//   uniform(stream)          one uniform per row, in D, for the draw of an index
//   exponential(stream, k)   E ~ Exp(1) of the cells at cursor k; k ascending from the first
//   logistic_pair            log v and log(1 - v) of the cells at cursor k
//
// V has + - * / and unary -. Per-row scalars are V as well, so that one text serves all.

/// Several sums taken in one pass.
template <class V, int n>
struct Sums {
  V of[n];

  GRADTHRU_HD friend Sums operator+(const Sums& a, const Sums& b) {
    Sums result;
    for (int i = 0; i < n; ++i) result.of[i] = a.of[i] + b.of[i];
    return result;
  }
};

/// The random stream of one row: every cell is (seed, offset, row, column).
template <class Tile>
struct RowStream {
  uint64_t seed;
  uint64_t offset;
  typename Tile::Rows row;
};

/// One lane, one row: plain C++ arithmetic in T. The reference for every other tile.
template <class T>
class ScalarTile {
 public:
  using Real = T;
  using V = T;
  using D = double;
  using B = bool;
  using I = int64_t;
  using Rows = uint64_t;
  using Stream = RowStream<ScalarTile>;

  static constexpr int64_t row_size(int64_t K) { return K; }
  GRADTHRU_HD static V set(double x) { return static_cast<T>(x); }
  GRADTHRU_HD static V load(const T* p, int64_t k) { return p[k]; }
  GRADTHRU_HD static void store(T* p, int64_t k, V v) { p[k] = v; }
  GRADTHRU_HD static V at(const T* p, I i) { return p[i]; }
  GRADTHRU_HD static B is(int64_t k, I i) { return k == i; }

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
    V top = body(0);
    for (int64_t k = 1; k < K; ++k) top = max(top, body(k));
    return top;
  }
  template <class Body>
  GRADTHRU_HD static I first(int64_t K, const Body& body) {
    for (int64_t k = 0; k < K; ++k) {
      if (body(k)) return k;
    }
    return K;
  }
  template <class Body>
  GRADTHRU_HD static I pick(int64_t K, D u, const Body& body) {
    D total = 0;
    for (int64_t k = 0; k < K; ++k) total += static_cast<D>(body(k));
    const D target = u * total;
    D running = 0;
    I last_positive = 0;
    for (int64_t k = 0; k < K; ++k) {
      const D weight = static_cast<D>(body(k));
      running += weight;
      if (running > target) return k;
      if (weight > 0) last_positive = k;
    }
    return last_positive;
  }

  GRADTHRU_HD static B equal(V a, V b) { return a == b; }
  GRADTHRU_HD static B less(V a, V b) { return a < b; }
  GRADTHRU_HD static B both(B a, B b) { return a && b; }
  GRADTHRU_HD static B either(B a, B b) { return a || b; }
  GRADTHRU_HD static V select(B c, V a, V b) { return c ? a : b; }
  GRADTHRU_HD static V min(V a, V b) { return b < a ? b : a; }
  GRADTHRU_HD static V max(V a, V b) { return a < b ? b : a; }
  GRADTHRU_HD static V abs(V a) { return std::abs(a); }
  GRADTHRU_HD static V exp(V a) { return std::exp(a); }
  GRADTHRU_HD static V log(V a) { return std::log(a); }
  GRADTHRU_HD static V log1p(V a) { return std::log1p(a); }
  GRADTHRU_HD static V fma(V a, V b, V c) { return std::fma(a, b, c); }

  GRADTHRU_HD D uniform(const Stream& s) const {
    return index_uniform(cell_word(s.seed, s.offset, s.row, 0));
  }

  GRADTHRU_HD V exponential(const Stream& s, int64_t k) const {
    const uint32_t high = cells_.high(s.seed, s.offset, s.row, k);
    const bool low_matters = std::is_same_v<T, double> || needs_low_word(high);
    const uint64_t word = low_matters ? cells_.word(s.seed, s.offset, s.row, k) : 0;
    const Unit<T> v = low_matters ? unit_of_word<T>(word) : unit_of_high<T>(high);
    return high < 0x80000000u ? -std::log1p(-v.v) : -std::log(v.complement);
  }

  GRADTHRU_HD void logistic_pair(const Stream& s, int64_t k, V* log_v, V* log_1mv) const {
    const uint64_t word = cells_.word(s.seed, s.offset, s.row, k);
    const Unit<T> v = unit_of_word<T>(word);
    const bool lower_half = word < (uint64_t{1} << 63);
    *log_v = lower_half ? std::log(v.v) : std::log1p(-v.complement);
    *log_1mv = lower_half ? std::log1p(-v.v) : std::log(v.complement);
  }

 private:
  mutable CellCache cells_;
};

}  // namespace gradthru::math
