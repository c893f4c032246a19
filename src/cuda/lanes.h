#pragma once

#include <limits>

#include "cuda/launch.h"
#include "cuda/staging.h"
#include "cuda/thread_tile.h"
#include "cuda/warp.h"
#include "cuda/warp_tile.h"

// Where a thread stands in its launch.
namespace gradthru::cuda {

template <class Real>
using RowOfWarp = WarpTile<CudaWarp, Real>;

/// Rows of the threads of a warp, staged in shared memory.
template <class Real>
using RowOfThread = ThreadTile<Real, kStageStride>;

struct Place {
  int lane, warp_in_block;
  int64_t warp, warps;  ///< in the launch

  __device__ __forceinline__ Place()
      : lane(static_cast<int>(threadIdx.x % kLanesPerWarp)),
        warp_in_block(static_cast<int>(threadIdx.x / kLanesPerWarp)) {
    const int64_t per_block = blockDim.x / kLanesPerWarp;
    warp = blockIdx.x * per_block + warp_in_block;
    warps = gridDim.x * per_block;
  }
};

/// Item (a row, or a group of rows) and sample that a warp works on. A division of 64 bits costs a
/// call, so there is one, before the loop.
struct SampleItem {
  int64_t sample, item;

  __device__ __forceinline__ SampleItem(const Place& place, int64_t items)
      : sample(place.warp / items), item(place.warp % items), items_(items), step_(place.warps) {}

  __device__ __forceinline__ void advance() {
    item += step_;
    for (; item >= items_; item -= items_) ++sample;
  }

 private:
  int64_t items_, step_;
};

/// Groups of rows that a warp stages at a time.
__host__ __device__ constexpr int64_t stage_groups(int64_t N) {
  return (N + kStageRows - 1) / kStageRows;
}

/// `count` rows from row `first`.
struct StagedRows {
  int64_t first, count;

  __device__ __forceinline__ StagedRows(int64_t group, int64_t N)
      : first(group * kStageRows), count(N - first < kStageRows ? N - first : kStageRows) {}
};

/// Stages the logits of rows, -inf where the mask forbids.
template <class Call, class Real>
__device__ __forceinline__ void stage_logits(int lane, const StagedRows& rows, const Call& call,
                                             Real* staged) {
  const int64_t begin = rows.first * call.K;
  visit_staged(lane, rows.count, static_cast<int>(call.K), [&](int i, int place) {
    const bool allowed = call.mask == nullptr || call.mask[begin + i];
    staged[place] = allowed ? call.logits[begin + i] : -std::numeric_limits<Real>::infinity();
  });
  __syncwarp();
}

/// The part of the block's shared memory that belongs to the thread's warp: `rows` staged rows.
template <class Real>
__device__ __forceinline__ Real* staged_rows(const Place& place, int64_t rows, int64_t K) {
  extern __shared__ __align__(16) unsigned char shared[];
  return reinterpret_cast<Real*>(shared) + place.warp_in_block * rows * stage_size(K);
}

/// How a kernel of staged rows is launched: as many warps a block as 48 KiB hold.
template <class Real>
struct StagedLaunch {
  unsigned blocks, threads;
  size_t shared_bytes;

  StagedLaunch(int64_t N, int64_t samples, int64_t rows, int64_t K) {
    constexpr int64_t kShared = 48 * 1024;
    const int64_t bytes = rows * stage_size(K) * static_cast<int64_t>(sizeof(Real));
    const int64_t warps = std::clamp<int64_t>(kShared / bytes, 1, kWarpsPerBlock);
    blocks = blocks_for(stage_groups(N) * samples, warps);
    threads = static_cast<unsigned>(warps * kLanesPerWarp);
    shared_bytes = static_cast<size_t>(warps * bytes);
  }
};

}  // namespace gradthru::cuda
