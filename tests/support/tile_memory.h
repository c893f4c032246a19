#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "cuda/thread_tile.h"
#include "cuda/warp_tile.h"
#include "support/rows.h"
#include "support/warp_emulation.h"

// The tiles of src/cuda as they run on the CPU, and their memory.
namespace support {

template <class Real>
using WarpRow = gradthru::cuda::WarpTile<EmulatedWarp, Real>;
template <class Real>
using ThreadRow = gradthru::cuda::ThreadTile<Real, 33>;

/// Rows in the memory of a tile, between guards that no tile may write to.
template <class Tile>
class TileMemory {
 public:
  using Real = typename Tile::Real;

  explicit TileMemory(int64_t K, int64_t rows = 1)
      : K_(K), cells_(static_cast<size_t>(Tile::row_size(K) * rows + 2 * kGuard), kGuardValue) {
    // What was not stored must not be read.
    for (int64_t i = 0; i < Tile::row_size(K) * rows; ++i)
      data()[i] = std::numeric_limits<Real>::quiet_NaN();
  }
  TileMemory(const Row& values) : TileMemory(static_cast<int64_t>(values.size())) {
    for (int64_t k = 0; k < K_; ++k)
      data()[k * kStride] = static_cast<Real>(values[static_cast<size_t>(k)]);
  }
  ~TileMemory() {
    for (size_t i = 0; i < kGuard; ++i) {
      EXPECT_EQ(cells_[i], kGuardValue);
      EXPECT_EQ(cells_[cells_.size() - 1 - i], kGuardValue);
    }
  }
  TileMemory(const TileMemory&) = delete;
  TileMemory& operator=(const TileMemory&) = delete;

  Real* data() { return cells_.data() + kGuard; }
  Row row() {
    Row result;
    for (int64_t k = 0; k < K_; ++k) result.push_back(data()[k * kStride]);
    return result;
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr Real kGuardValue = 1e30f;
  static constexpr int64_t kStride = Tile::row_size(1);

  int64_t K_;
  std::vector<Real> cells_;
};

}  // namespace support
