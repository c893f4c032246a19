#pragma once

#include "cuda/cells.h"
#include "math/tile.h"

namespace gradthru::cuda {

/// A row across the 32 lanes of a warp: lane l has the columns l, 32 + l, 64 + l, ... `Warp` is
/// what the lanes do together: CudaWarp on the device; the tests run this same text on the CPU with
/// a Warp of arrays. No function depends on a lane's values for whether lanes meet, so the warp is
/// never split around a shuffle.
///
/// A column is loaded and stored by its one lane only, and `at` asks that lane. So no lane reads
/// what another has written, and memory needs no barrier.
///
/// Sums run over a lane's columns in order and then over the lanes as a tree: the same bits in
/// every lane and in every run. NaN never becomes the largest.
template <class Warp, class T>
class WarpTile {
 public:
  template <class U>
  using Lanes = typename Warp::template Lanes<U>;

  using Real = T;
  using V = Lanes<T>;
  using D = double;
  using B = Lanes<bool>;
  using I = int64_t;
  using Rows = uint64_t;
  using Stream = math::RowStream<WarpTile>;

  static constexpr int kLanes = 32;

  struct Cursor {
    int64_t base;  ///< column of the first lane, a multiple of 32
    Lanes<int64_t> column;
    B inside;  ///< column < K
  };

  GRADTHRU_HD static constexpr int64_t row_size(int64_t K) { return K; }
  GRADTHRU_HD static V set(double x) { return Warp::broadcast(static_cast<T>(x)); }
  /// A value that is the same in every lane.
  GRADTHRU_HD static T scalar_of(const V& v) { return Warp::one(v, 0); }

  GRADTHRU_HD static V load(const T* p, const Cursor& k) {
    return Warp::map([p](int64_t column, bool inside) { return inside ? p[column] : T{0}; },
                     k.column, k.inside);
  }
  GRADTHRU_HD static void store(T* p, const Cursor& k, const V& v) {
    Warp::each(
        [p](int64_t column, bool inside, T x) {
          if (inside) p[column] = x;
        },
        k.column, k.inside, v);
  }
  /// Whether a row of flags says yes at cursor k.
  GRADTHRU_HD static B flag(const bool* p, const Cursor& k) {
    return Warp::map([p](int64_t column, bool inside) { return inside && p[column]; }, k.column,
                     k.inside);
  }
  GRADTHRU_HD static V at(const T* p, I i) {
    const int owner = static_cast<int>(i & (kLanes - 1));
    const auto held = [p, i, owner](int lane) { return lane == owner ? p[i] : T{0}; };
    return Warp::broadcast(Warp::one(Warp::map(held, Warp::lane()), owner));
  }
  GRADTHRU_HD static B is(const Cursor& k, I i) {
    return Warp::map([i](int64_t column) { return column == i; }, k.column);
  }

  template <class Body>
  GRADTHRU_HD static void each(int64_t K, const Body& body) {
    for (int64_t base = 0; base < K; base += kLanes) body(cursor(base, K));
  }
  template <class Body>
  GRADTHRU_HD static auto sum(int64_t K, const Body& body) {
    decltype(body(cursor(0, K))) total{};
    for (int64_t base = 0; base < K; base += kLanes) {
      const Cursor k = cursor(base, K);
      total = total + kept(k.inside, body(k));
    }
    return total_of_lanes(total);
  }
  template <class Body>
  GRADTHRU_HD static V largest(int64_t K, const Body& body) {
    const V lowest = set(-std::numeric_limits<double>::infinity());
    V top = lowest;
    for (int64_t base = 0; base < K; base += kLanes) {
      const Cursor k = cursor(base, K);
      top = max(top, select(k.inside, body(k), lowest));
    }
    for (int step = kLanes / 2; step > 0; step /= 2) top = max(top, Warp::swapped(top, step));
    return top;
  }
  template <class Body>
  GRADTHRU_HD static I first(int64_t K, const Body& body) {
    for (int64_t base = 0; base < K; base += kLanes) {
      const Cursor k = cursor(base, K);
      const int lane = Warp::first_lane(both(k.inside, body(k)));
      if (lane < kLanes) return base + lane;
    }
    return K;
  }

  /// The block of 512 columns in which the running sum of blocks exceeds the target, then the
  /// column in it by prefix sums. Blocks are summed alike in both passes, so the last running sum
  /// is the total.
  template <class Body>
  GRADTHRU_HD static I pick(int64_t K, D u, const Body& body) {
    D total = 0;
    for (int64_t begin = 0; begin < K; begin += kBlock) total += block_sum(begin, K, body);
    const D target = u * total;
    D before = 0;
    for (int64_t begin = 0; begin < K; begin += kBlock) {
      const D after = before + block_sum(begin, K, body);
      if (after > target) return pick_in(begin, end_of_block(begin, K), K, before, target, body);
      before = after;
    }
    return pick_in(0, K, K, -std::numeric_limits<D>::infinity(), target, body);
  }

  GRADTHRU_HD static B equal(const V& a, const V& b) {
    return Warp::map([](T x, T y) { return x == y; }, a, b);
  }
  GRADTHRU_HD static B less(const V& a, const V& b) {
    return Warp::map([](T x, T y) { return x < y; }, a, b);
  }
  GRADTHRU_HD static B both(const B& a, const B& b) {
    return Warp::map([](bool x, bool y) { return x && y; }, a, b);
  }
  GRADTHRU_HD static B either(const B& a, const B& b) {
    return Warp::map([](bool x, bool y) { return x || y; }, a, b);
  }
  GRADTHRU_HD static V select(const B& c, const V& a, const V& b) {
    return Warp::map([](bool which, T x, T y) { return which ? x : y; }, c, a, b);
  }
  GRADTHRU_HD static V min(const V& a, const V& b) {
    return Warp::map([](T x, T y) { return y < x ? y : x; }, a, b);
  }
  GRADTHRU_HD static V max(const V& a, const V& b) {
    return Warp::map([](T x, T y) { return x < y ? y : x; }, a, b);
  }
  GRADTHRU_HD static V abs(const V& a) {
    return Warp::map([](T x) { return std::abs(x); }, a);
  }
  GRADTHRU_HD static V exp(const V& a) {
    return Warp::map([](T x) { return std::exp(x); }, a);
  }
  GRADTHRU_HD static V log(const V& a) {
    return Warp::map([](T x) { return std::log(x); }, a);
  }
  GRADTHRU_HD static V log1p(const V& a) {
    return Warp::map([](T x) { return std::log1p(x); }, a);
  }
  GRADTHRU_HD static V fma(const V& a, const V& b, const V& c) {
    return Warp::map([](T x, T y, T z) { return std::fma(x, y, z); }, a, b, c);
  }

  GRADTHRU_HD D uniform(const Stream& s) const {
    return math::index_uniform(math::cell_word(s.seed, s.offset, s.row, 0));
  }

  GRADTHRU_HD V exponential(const Stream& s, const Cursor& k) const {
    const auto high = halves(s, k, &high_, false);
    if constexpr (std::is_same_v<T, double>) {
      return Warp::map(
          [](uint32_t h, uint32_t l) { return exponential_of<T>(h, [l] { return l; }); }, high,
          halves(s, k, &low_, true));
    } else {
      // One cell in 128 needs its low word: its lane alone draws it.
      return Warp::map(
          [&s](uint32_t h, int64_t column) {
            return exponential_of<T>(
                h, [&] { return cell_half(s, static_cast<uint64_t>(column), true); });
          },
          high, k.column);
    }
  }

  GRADTHRU_HD void logistic_pair(const Stream& s, const Cursor& k, V* log_v, V* log_1mv) const {
    const auto high = halves(s, k, &high_, false), low = halves(s, k, &low_, true);
    const auto logs =
        Warp::map([](uint32_t h, uint32_t l) { return logistic_of<T>(h, l); }, high, low);
    *log_v = Warp::map([](const LogPair<T>& pair) { return pair.v; }, logs);
    *log_1mv = Warp::map([](const LogPair<T>& pair) { return pair.complement; }, logs);
  }

 private:
  static constexpr int64_t kBlock = 16 * kLanes;
  static constexpr int64_t kCells = 4 * kLanes;  // served by one call of Philox in every lane

  GRADTHRU_HD static Cursor cursor(int64_t base, int64_t K) {
    const auto column = Warp::map([base](int lane) { return base + lane; }, Warp::lane());
    return {base, column, Warp::map([K](int64_t k) { return k < K; }, column)};
  }

  GRADTHRU_HD static V kept(const B& inside, const V& v) { return select(inside, v, V{}); }
  template <int n>
  GRADTHRU_HD static math::Sums<V, n> kept(const B& inside, math::Sums<V, n> sums) {
    for (int i = 0; i < n; ++i) sums.of[i] = kept(inside, sums.of[i]);
    return sums;
  }

  /// The sum over lanes as a tree, in every lane: the order of two summands does not matter.
  template <class U>
  GRADTHRU_HD static U total_of_lanes(U v) {
    for (int step = kLanes / 2; step > 0; step /= 2) v = v + Warp::swapped(v, step);
    return v;
  }
  template <int n>
  GRADTHRU_HD static math::Sums<V, n> total_of_lanes(math::Sums<V, n> sums) {
    for (int i = 0; i < n; ++i) sums.of[i] = total_of_lanes(sums.of[i]);
    return sums;
  }

  GRADTHRU_HD static int64_t end_of_block(int64_t begin, int64_t K) {
    return begin + kBlock < K ? begin + kBlock : K;
  }

  template <class Body>
  GRADTHRU_HD static Lanes<D> wide_weights(const Cursor& k, const Body& body) {
    return Warp::map([](bool inside, T w) { return inside ? static_cast<D>(w) : D{0}; }, k.inside,
                     body(k));
  }

  template <class Body>
  GRADTHRU_HD static D block_sum(int64_t begin, int64_t K, const Body& body) {
    Lanes<D> sums{};
    const int64_t end = end_of_block(begin, K);
    for (int64_t base = begin; base < end; base += kLanes) {
      sums = sums + wide_weights(cursor(base, K), body);
    }
    return Warp::one(total_of_lanes(sums), 0);
  }

  /// The first column in [begin, end) of positive weight at which `running` exceeds the target, or
  /// else the last of positive weight.
  template <class Body>
  GRADTHRU_HD static I pick_in(int64_t begin, int64_t end, int64_t K, D running, D target,
                               const Body& body) {
    I last_positive = begin;
    for (int64_t base = begin; base < end; base += kLanes) {
      const Lanes<D> weights = wide_weights(cursor(base, K), body);
      const Lanes<D> prefix = prefix_sums(weights);
      const auto chosen = [running, target](D weight, D sum) {
        return weight > 0 && running + sum > target;
      };
      const int lane = Warp::first_lane(Warp::map(chosen, weights, prefix));
      if (lane < kLanes) return base + lane;
      const int last = Warp::last_lane(Warp::map([](D weight) { return weight > 0; }, weights));
      if (last >= 0) last_positive = base + last;
      running += Warp::one(prefix, kLanes - 1);
    }
    return last_positive;
  }

  /// Lane l has the sum of the lanes up to l.
  GRADTHRU_HD static Lanes<D> prefix_sums(Lanes<D> sums) {
    for (int step = 1; step < kLanes; step *= 2) {
      sums = Warp::map(
          [step](D own, D left, int lane) { return lane < step ? own : left + own; }, sums,
          Warp::from(sums, Warp::map([step](int lane) { return lane - step; }, Warp::lane())),
          Warp::lane());
    }
    return sums;
  }

  /// The high or low words of the cells at cursor k. Lane l calls Philox for the columns 4l .. 4l+3
  /// of a group of 128 when the first cursor of the group comes by, and hands them out.
  GRADTHRU_HD static Lanes<uint32_t> halves(const Stream& s, const Cursor& k,
                                            Lanes<math::Words>* words, bool low) {
    if (k.base % kCells == 0) {
      const int64_t base = k.base;
      *words = Warp::map(
          [&s, base, low](int lane) {
            return words_around(s, static_cast<uint64_t>(base + 4 * lane), low);
          },
          Warp::lane());
    }
    const int part = static_cast<int>(k.base % kCells) / 4;
    const auto source = Warp::map([part](int lane) { return part + lane / 4; }, Warp::lane());
    return Warp::map([](int lane, uint32_t a, uint32_t b, uint32_t c,
                        uint32_t d) { return word_of({{a, b, c, d}}, lane & 3); },
                     Warp::lane(), handed<0>(*words, source), handed<1>(*words, source),
                     handed<2>(*words, source), handed<3>(*words, source));
  }

  template <int n>
  GRADTHRU_HD static Lanes<uint32_t> handed(const Lanes<math::Words>& words,
                                            const Lanes<int>& source) {
    return Warp::from(Warp::map([](const math::Words& block) { return block.w[n]; }, words),
                      source);
  }

  mutable Lanes<math::Words> high_{}, low_{};
};

}  // namespace gradthru::cuda
