// The kernels of logic gates, of one instruction set: see kernels.cpp. Plain loops, which the
// compiler makes vectors of; sums have an order of their own, so that every set gives the same
// bits.
#include "cpu/simd/logic_kernels.h"

#include <hwy/highway.h>

namespace gradthru::cpu {
namespace HWY_NAMESPACE {
namespace {

constexpr int kSums = 16;

template <class T>
void gate(const T* __restrict a, const T* __restrict b, const T* c, int64_t n, T* __restrict out) {
  const T c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
  for (int64_t i = 0; i < n; ++i) out[i] = c0 + c1 * a[i] + b[i] * (c2 + c3 * a[i]);
}

template <class T>
void input(const T* __restrict grad, const T* __restrict other, T alone, T both, int64_t n,
           T* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] += grad[i] * (alone + both * other[i]);
}

template <class T>
T total(const T* sums) {
  T result = 0;
  for (int k = 0; k < kSums; ++k) result += sums[k];
  return result;
}

template <class T>
void coefficients(const T* grad, const T* a, const T* b, int64_t n, T* to) {
  T sums[4][kSums] = {};
  const auto add = [&](int64_t i, int k) {
    const T of_a = grad[i] * a[i];
    sums[0][k] += grad[i];
    sums[1][k] += of_a;
    sums[2][k] += grad[i] * b[i];
    sums[3][k] += of_a * b[i];
  };
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int k = 0; k < kSums; ++k) add(i + k, k);
  }
  for (int k = 0; i < n; ++i, ++k) add(i, k);
  for (int j = 0; j < 4; ++j) to[j] = total(sums[j]);
}

template <class T>
constexpr LogicKernels<T> kernels_of() {
  return {&gate<T>, &input<T>, &coefficients<T>};
}

}  // namespace

extern const LogicTable kLogicTable;
const LogicTable kLogicTable = {GRADTHRU_TARGET, kernels_of<float>(), kernels_of<double>()};

}  // namespace HWY_NAMESPACE
}  // namespace gradthru::cpu
