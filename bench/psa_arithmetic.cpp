#include "bench/psa_arithmetic.h"

#include <benchmark/benchmark.h>

namespace gradthru::bench {
namespace {

using Lanes8 = float __attribute__((vector_size(32)));
using Lanes16 = float __attribute__((vector_size(64)));

constexpr int kInputs = 4;       // whose sums are independent
constexpr int64_t kPlaces = 32;  // triples of weights of an input, read in turn

/// sum += q0/(t0-c0) + q1/(t1-c1) + q2/(t2-c2) for each input, `rounds` times.
template <class V>
__attribute__((always_inline)) inline void loop(int64_t rounds) {
  static V c[kPlaces][kInputs][3];
  for (auto& place : c) {
    for (auto& input : place) {
      for (int k = 0; k < 3; ++k) input[k] = V{} + (2.0f + static_cast<float>(k));
    }
  }
  V t[3], q[3], sum[kInputs];
  for (int k = 0; k < 3; ++k) {
    t[k] = V{} + 0.25f * static_cast<float>(k);
    q[k] = V{} + 1.0f;
  }
  for (V& s : sum) s = V{};
  benchmark::DoNotOptimize(&c);
  for (int64_t r = 0; r < rounds; ++r) {
    // Not known to the compiler, and so not computed once and for all.
    for (int k = 0; k < 3; ++k) asm volatile("" : "+x"(t[k]), "+x"(q[k]));
    const auto& place = c[r % kPlaces];
    _Pragma("GCC unroll 4") for (int i = 0; i < kInputs; ++i) {
      const V b0 = t[0] - place[i][0], b1 = t[1] - place[i][1], b2 = t[2] - place[i][2];
      const V b01 = b0 * b1;
      sum[i] += ((q[0] * b1 + q[1] * b0) * b2 + q[2] * b01) / (b01 * b2);
    }
  }
  for (V& s : sum) benchmark::DoNotOptimize(s);
}

__attribute__((target("avx512f,avx512vl,fma"), noinline)) void loop_512(int64_t rounds) {
  loop<Lanes16>(rounds);
}

__attribute__((target("avx2,fma"), noinline)) void loop_256(int64_t rounds) {
  loop<Lanes8>(rounds);
}

}  // namespace

void psa_arithmetic(double terms) {
  const bool wide = __builtin_cpu_supports("avx512f");
  const double each = kInputs * 3 * (wide ? 16 : 8);
  wide ? loop_512(static_cast<int64_t>(terms / each))
       : loop_256(static_cast<int64_t>(terms / each));
}

}  // namespace gradthru::bench
