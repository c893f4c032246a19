#pragma once

#include <cstdint>

#include "math/philox.h"

namespace gradthru::cuda {

/// Rows that a warp keeps in shared memory, a row per lane: element k of lane l at k * kStageStride
/// + l. The stride is odd, so neither a row nor a column meets one bank twice.
inline constexpr int kStageRows = 32;
inline constexpr int kStageStride = kStageRows + 1;

__host__ __device__ constexpr int64_t stage_size(int64_t K) {
  return K * kStageStride;
}

/// Where the elements of `count` contiguous rows go, in steps of a warp: visit(i, place) for the
/// i-th element in global memory. Division by K once, not per element.
template <class Visit>
__device__ __forceinline__ void visit_staged(int lane, int64_t count, int K, const Visit& visit) {
  const int row_step = kStageRows / K, column_step = kStageRows % K;
  int row = lane / K, column = lane % K;
  for (int i = lane; i < static_cast<int>(count) * K; i += kStageRows) {
    visit(i, column * kStageStride + row);
    row += row_step;
    column += column_step;
    if (column >= K) {
      column -= K;
      ++row;
    }
  }
}

/// All lanes of the warp take part; ends with the rows visible to every lane.
template <class Real>
__device__ __forceinline__ void stage_in(int lane, int64_t count, int K, const Real* from,
                                         Real* staged) {
  visit_staged(lane, count, K, [&](int i, int place) { staged[place] = from[i]; });
  __syncwarp();
}

/// Starts when every lane has written its row; ends with the rows free to be written again.
template <class Real>
__device__ __forceinline__ void stage_out(int lane, int64_t count, int K, const Real* staged,
                                          Real* to) {
  __syncwarp();
  visit_staged(lane, count, K, [&](int i, int place) { to[i] = staged[place]; });
  __syncwarp();
}

}  // namespace gradthru::cuda
