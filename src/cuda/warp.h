#pragma once

#include <cstdint>

#include "math/philox.h"

namespace gradthru::cuda {

// A function of both devices may call these, but only the device has lanes: the host's pass of the
// compiler sees the last argument.
#if defined(__CUDA_ARCH__)
#define GRADTHRU_ON_DEVICE(expression, otherwise) return expression
#else
#define GRADTHRU_ON_DEVICE(expression, otherwise) return otherwise
#endif

/// The lanes of a warp: a value of each is a plain variable of each thread. All 32 take part in
/// every call.
struct CudaWarp {
  template <class T>
  using Lanes = T;

  static constexpr unsigned kAll = 0xffffffffu;

  template <class T>
  GRADTHRU_HD static T broadcast(T x) {
    return x;
  }
  GRADTHRU_HD static int lane() { GRADTHRU_ON_DEVICE(static_cast<int>(threadIdx.x % 32u), 0); }

  /// f of the lanes' values, and f for its effects.
  template <class F, class... T>
  GRADTHRU_HD static auto map(const F& f, const T&... values) {
    return f(values...);
  }
  template <class F, class... T>
  GRADTHRU_HD static void each(const F& f, const T&... values) {
    f(values...);
  }

  /// Lane l gets the value of lane l ^ mask.
  template <class T>
  GRADTHRU_HD static T swapped(T v, int mask) {
    GRADTHRU_ON_DEVICE(__shfl_xor_sync(kAll, v, mask), v + T(0 * mask));
  }
  /// Lane l gets the value of lane source % 32, each its own.
  template <class T>
  GRADTHRU_HD static T from(T v, int source) {
    GRADTHRU_ON_DEVICE(__shfl_sync(kAll, v, source), v + T(0 * source));
  }
  /// The value of one lane.
  template <class T>
  GRADTHRU_HD static T one(T v, int source) {
    return from(v, source);
  }

  /// The first lane that says yes, 32 if there is none; the last one, -1 if there is none.
  GRADTHRU_HD static int first_lane(bool yes) {
    GRADTHRU_ON_DEVICE(lowest(__ballot_sync(kAll, yes)), yes ? 0 : 32);
  }
  GRADTHRU_HD static int last_lane(bool yes) {
    GRADTHRU_ON_DEVICE(31 - __clz(static_cast<int>(__ballot_sync(kAll, yes))), yes ? 0 : -1);
  }

 private:
#if defined(__CUDACC__)
  __device__ static int lowest(unsigned lanes) {
    return lanes == 0 ? 32 : __ffs(static_cast<int>(lanes)) - 1;
  }
#endif
};

#undef GRADTHRU_ON_DEVICE

}  // namespace gradthru::cuda
