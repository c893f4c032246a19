#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "math/philox.h"

namespace gradthru::math {

// The tile: W lanes that share the text of a row function. Lanes lie along one row (W > 1), or
// every lane owns a row of its own (W = 1, rows in lanes). A row function sees only this interface:
//
//   Real                     element type in memory
//   V, B, I                  values of the lanes: real, predicate, 64-bit column or index
//   D                        wide real, for sums that must not lose digits
//   width                    columns covered by one V
//   set(x), integer(i)       a scalar in every lane
//   load(p, k, K, fill)      columns k.. of a row; lanes beyond K get fill
//   store(p, k, K, v)        the lanes below K
//   at(p, i, K)              element i of the row, in every lane of that row
//   columns(k)               the lane's column
//   equal, less, both, either, select, min, max, abs, exp, log, log1p
//   sum, maximum, minimum    reductions over the lanes of a row, result in every lane
//   widen(v)                 V to D;  running(d): inclusive sums over the lanes of a row;
//                            last(d): the value of the row's last lane, in every lane
//   uniform(stream)          one uniform per row, in D;  exponential(stream, k), logistic_pair:
//                            noise of the cells at columns k..
//
// V and D have + - * / and unary -. Per-row scalars are V as well, so that one text serves all.

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
  static constexpr int64_t width = 1;

  GRADTHRU_HD static V set(double x) { return static_cast<T>(x); }
  GRADTHRU_HD static I integer(int64_t i) { return i; }
  GRADTHRU_HD static V load(const T* p, int64_t k, int64_t /*K*/, double /*fill*/) { return p[k]; }
  GRADTHRU_HD static void store(T* p, int64_t k, int64_t /*K*/, V v) { p[k] = v; }
  GRADTHRU_HD static V at(const T* p, I i, int64_t /*K*/) { return p[i]; }
  GRADTHRU_HD static I columns(int64_t k) { return k; }

  template <class X>
  GRADTHRU_HD static B equal(X a, X b) {
    return a == b;
  }
  template <class X>
  GRADTHRU_HD static B less(X a, X b) {
    return a < b;
  }
  GRADTHRU_HD static B both(B a, B b) { return a && b; }
  GRADTHRU_HD static B either(B a, B b) { return a || b; }
  template <class X>
  GRADTHRU_HD static X select(B c, X a, X b) {
    return c ? a : b;
  }
  template <class X>
  GRADTHRU_HD static X min(X a, X b) {
    return b < a ? b : a;
  }
  template <class X>
  GRADTHRU_HD static X max(X a, X b) {
    return a < b ? b : a;
  }
  GRADTHRU_HD static V abs(V a) { return std::abs(a); }
  GRADTHRU_HD static V exp(V a) { return std::exp(a); }
  GRADTHRU_HD static V log(V a) { return std::log(a); }
  GRADTHRU_HD static V log1p(V a) { return std::log1p(a); }

  GRADTHRU_HD static V sum(V a) { return a; }
  template <class X>
  GRADTHRU_HD static X maximum(X a) {
    return a;
  }
  template <class X>
  GRADTHRU_HD static X minimum(X a) {
    return a;
  }
  GRADTHRU_HD static D widen(V a) { return a; }
  GRADTHRU_HD static D running(D a) { return a; }
  GRADTHRU_HD static D last(D a) { return a; }

  /// u in [2^-53, 1 - 2^-53], in double: for draws of an index.
  GRADTHRU_HD D uniform(const Stream& s) const {
    return index_uniform(cell_word(s.seed, s.offset, s.row, 0));
  }

  /// E ~ Exp(1) of column k.
  GRADTHRU_HD V exponential(const Stream& s, int64_t k) const {
    const uint32_t high = cells_.high(s.seed, s.offset, s.row, k);
    if (!needs_low_word(high)) return exponential_from(high_uniform(high), high < 0x80000000u);
    const uint64_t word = cells_.word(s.seed, s.offset, s.row, k);
    return exponential_from(word_uniform(word), high < 0x80000000u);
  }

  /// E ~ Exp(1) of the cell at a column that each row chooses, in every lane of the row.
  GRADTHRU_HD V exponential_at(const Stream& s, I column) const { return exponential(s, column); }

  /// log v and log(1 - v) of column k, v uniform in (0, 1): their difference is Logistic(0, 1).
  GRADTHRU_HD void logistic_pair(const Stream& s, int64_t k, V* log_v, V* log_1mv) const {
    const uint64_t word = cells_.word(s.seed, s.offset, s.row, k);
    const Pair v = word_uniform(word);
    const bool lower_half = word < (uint64_t{1} << 63);
    *log_v = lower_half ? std::log(v.v) : std::log1p(-v.complement);
    *log_1mv = lower_half ? std::log1p(-v.v) : std::log(v.complement);
  }

 private:
  struct Pair {
    T v;           // uniform in (0, 1)
    T complement;  // 1 - v, rounded on its own
  };

  // Single precision keeps its full relative depth in both tails with the high word alone unless
  // the cell lies in the outer 1/128; double always takes all 64 bits.
  GRADTHRU_HD static bool needs_low_word(uint32_t high) {
    return std::is_same_v<T, double> || high < (1u << 24) || high >= 0xff000000u;
  }
  GRADTHRU_HD static Pair high_uniform(uint32_t high) {
    return {static_cast<T>((high + 0.5) * 0x1p-32), static_cast<T>((~high + 0.5) * 0x1p-32)};
  }
  GRADTHRU_HD static Pair word_uniform(uint64_t word) {
    return {static_cast<T>(unit_from_word(word)), static_cast<T>(unit_from_word(~word))};
  }
  GRADTHRU_HD static V exponential_from(Pair v, bool lower_half) {
    return lower_half ? -std::log1p(-v.v) : -std::log(v.complement);
  }

  mutable CellCache cells_;
};

}  // namespace gradthru::math
