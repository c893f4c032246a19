#pragma once

#include "cuda/cells.h"
#include "math/tile.h"

namespace gradthru::cuda {

/// A row per thread, its elements `kStride` apart: threads side by side read side by side. The
/// arithmetic and the loops are those of ScalarTile; only memory and random words differ.
template <class T, int kStride = 1>
class ThreadTile : public math::ScalarTile<T> {
 public:
  using V = T;
  using D = double;
  using I = int64_t;
  using Stream = math::RowStream<ThreadTile>;

  GRADTHRU_HD static constexpr int64_t row_size(int64_t K) { return K * kStride; }
  GRADTHRU_HD static V load(const T* p, int64_t k) { return p[k * kStride]; }
  GRADTHRU_HD static void store(T* p, int64_t k, V v) { p[k * kStride] = v; }
  GRADTHRU_HD static V at(const T* p, I i) { return p[i * kStride]; }
  GRADTHRU_HD static T scalar_of(V v) { return v; }

  GRADTHRU_HD D uniform(const Stream& s) const {
    return math::index_uniform(math::cell_word(s.seed, s.offset, s.row, 0));
  }

  /// One call of Philox serves four columns: k ascends from the first.
  GRADTHRU_HD V exponential(const Stream& s, int64_t k) const {
    const auto column = static_cast<uint64_t>(k);
    if ((k & 3) == 0) high_ = words_around(s, column, false);
    return exponential_of<T>(word_of(high_, static_cast<int>(k & 3)),
                             [&] { return cell_half(s, column, true); });
  }

  /// Of any column.
  GRADTHRU_HD void logistic_pair(const Stream& s, int64_t k, V* log_v, V* log_1mv) const {
    const auto column = static_cast<uint64_t>(k);
    const auto logs = logistic_of<T>(cell_half(s, column, false), cell_half(s, column, true));
    *log_v = logs.v;
    *log_1mv = logs.complement;
  }

 private:
  mutable math::Words high_{};
};

}  // namespace gradthru::cuda
