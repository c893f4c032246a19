#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

namespace gradthru::cuda {

/// Up to this many categories a thread owns a row; beyond it a warp does. Not measured: from here
/// on a warp has more than half of its lanes at work.
inline constexpr int64_t kThreadRowCategories = 16;

inline constexpr int kWarpsPerBlock = 4;
inline constexpr int kLanesPerWarp = 32;

/// Warps of the kernels that give a row to a warp: they stride over the rows, and each has its own
/// part of the workspace.
inline cudaError_t row_warps(int64_t rows, int64_t* warps) {
  constexpr int64_t kPerMultiprocessor = 32;
  int device = 0, processors = 0;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  }
  *warps = std::min<int64_t>(rows, kPerMultiprocessor * std::max(processors, 1));
  return status;
}

inline unsigned blocks_for(int64_t items, int64_t per_block) {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;  // the kernels stride over what is beyond
  return static_cast<unsigned>(std::min((items + per_block - 1) / per_block, kMost));
}

}  // namespace gradthru::cuda
