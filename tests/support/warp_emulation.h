#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace support {

/// A value of each of 32 lanes, with the arithmetic of a lane.
template <class T>
struct Lanes {
  std::array<T, 32> of;

  template <class F>
  static Lanes make(const F& value_of_lane) {
    Lanes result;
    for (size_t lane = 0; lane < 32; ++lane) result.of[lane] = value_of_lane(lane);
    return result;
  }
  friend Lanes operator+(const Lanes& a, const Lanes& b) {
    return make([&](size_t l) { return a.of[l] + b.of[l]; });
  }
  friend Lanes operator-(const Lanes& a, const Lanes& b) {
    return make([&](size_t l) { return a.of[l] - b.of[l]; });
  }
  friend Lanes operator*(const Lanes& a, const Lanes& b) {
    return make([&](size_t l) { return a.of[l] * b.of[l]; });
  }
  friend Lanes operator/(const Lanes& a, const Lanes& b) {
    return make([&](size_t l) { return a.of[l] / b.of[l]; });
  }
  friend Lanes operator-(const Lanes& a) {
    return make([&](size_t l) { return -a.of[l]; });
  }
};

/// CudaWarp of src/cuda/warp.h as arrays: the same text of WarpTile runs on it. What is emulated is
/// every function of that class and nothing else.
struct EmulatedWarp {
  template <class T>
  using Lanes = support::Lanes<T>;

  template <class T>
  static Lanes<T> broadcast(T x) {
    return Lanes<T>::make([&](size_t) { return x; });
  }
  static Lanes<int> lane() {
    return Lanes<int>::make([](size_t l) { return static_cast<int>(l); });
  }

  template <class F, class... T>
  static auto map(const F& f, const Lanes<T>&... values) {
    return Lanes<decltype(f(values.of[0]...))>::make([&](size_t l) { return f(values.of[l]...); });
  }
  template <class F, class... T>
  static void each(const F& f, const Lanes<T>&... values) {
    for (size_t l = 0; l < 32; ++l) f(values.of[l]...);
  }

  template <class T>
  static Lanes<T> swapped(const Lanes<T>& v, int mask) {
    return Lanes<T>::make([&](size_t l) { return v.of[l ^ static_cast<size_t>(mask)]; });
  }
  template <class T>
  static Lanes<T> from(const Lanes<T>& v, const Lanes<int>& source) {
    return Lanes<T>::make([&](size_t l) { return v.of[static_cast<size_t>(source.of[l]) % 32]; });
  }
  template <class T>
  static T one(const Lanes<T>& v, int source) {
    return v.of[static_cast<size_t>(source) % 32];
  }

  static int first_lane(const Lanes<bool>& yes) { return std::countr_zero(ballot(yes)); }
  static int last_lane(const Lanes<bool>& yes) { return 31 - std::countl_zero(ballot(yes)); }

 private:
  static uint32_t ballot(const Lanes<bool>& yes) {
    uint32_t bits = 0;
    for (size_t l = 0; l < 32; ++l) bits |= static_cast<uint32_t>(yes.of[l]) << l;
    return bits;
  }
};

}  // namespace support
