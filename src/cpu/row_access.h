#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/SmallVector.h>

#include <cstring>
#include <limits>
#include <optional>

#include "cpu/simd/kernels.h"

// Where the rows of a tensor lie, and reading and writing them in the precision of the kernels.
namespace gradthru::cpu {

/// A tensor seen as N rows along one dimension, in row-major order of the others, with any strides.
class RowLayout {
 public:
  RowLayout() = default;

  /// Leading dimensions before `first` are left out (the samples).
  RowLayout(const at::Tensor& tensor, int64_t axis, int64_t first = 0)
      : K(tensor.size(axis)), stride(tensor.stride(axis)) {
    for (int64_t d = first; d < tensor.dim(); ++d) {
      if (d != axis) append(tensor.size(d), tensor.stride(d));
    }
    if (sizes_.empty()) append(1, 0);
    for (const int64_t size : sizes_) N *= size;
  }

  int64_t N = 1, K = 0;
  int64_t stride = 1;  ///< between the elements of a row

  /// Where row n begins.
  int64_t start(int64_t n) const {
    if (sizes_.size() == 1) return n * strides_[0];
    int64_t offset = 0;
    for (size_t d = sizes_.size(); d-- > 0;) {
      offset += n % sizes_[d] * strides_[d];
      n /= sizes_[d];
    }
    return offset;
  }

  /// Where the rows n .. n + count - 1 begin; the last one again up to kLanes.
  void starts(int64_t n, int count, int64_t* begin) const {
    const int64_t inner = sizes_.back(), step = strides_.back();
    const int64_t offset = start(n), position = sizes_.size() == 1 ? n : n % inner;
    const bool one_run = position + count <= inner;
    for (int i = 0; i < count; ++i) begin[i] = one_run ? offset + i * step : start(n + i);
    for (int i = count; i < kLanes; ++i) begin[i] = begin[count - 1];
  }

 private:
  void append(int64_t size, int64_t step) {
    if (size == 1 && !sizes_.empty()) return;
    if (!sizes_.empty() && (sizes_.back() == 1 || strides_.back() == step * size)) {
      sizes_.back() *= size;
      strides_.back() = step;
      return;
    }
    sizes_.push_back(size);
    strides_.push_back(step);
  }

  c10::SmallVector<int64_t, 4> sizes_, strides_;
};

/// One of the floating types of a tensor's elements.
template <class T>
struct Storage {
  static void read(const T* p, int64_t stride, int64_t n, float* out) {
    if (stride == 1) {
      if constexpr (std::is_same_v<T, float>) {
        std::memcpy(out, p, static_cast<size_t>(n) * sizeof(float));
        return;
      } else if constexpr (std::is_same_v<T, at::Half>) {
        return kernels().from_half(reinterpret_cast<const uint16_t*>(p), out, n);
      } else if constexpr (std::is_same_v<T, at::BFloat16>) {
        return kernels().from_bfloat16(reinterpret_cast<const uint16_t*>(p), out, n);
      }
    }
    for (int64_t k = 0; k < n; ++k) out[k] = static_cast<float>(p[k * stride]);
  }
  static void read(const T* p, int64_t stride, int64_t n, double* out) {
    for (int64_t k = 0; k < n; ++k) out[k] = static_cast<double>(p[k * stride]);
  }
  static void write(const float* in, T* p, int64_t stride, int64_t n) {
    if (stride == 1) {
      if constexpr (std::is_same_v<T, float>) {
        std::memcpy(p, in, static_cast<size_t>(n) * sizeof(float));
        return;
      } else if constexpr (std::is_same_v<T, at::Half>) {
        return kernels().to_half(in, reinterpret_cast<uint16_t*>(p), n);
      } else if constexpr (std::is_same_v<T, at::BFloat16>) {
        return kernels().to_bfloat16(in, reinterpret_cast<uint16_t*>(p), n);
      }
    }
    for (int64_t k = 0; k < n; ++k) p[k * stride] = static_cast<T>(in[k]);
  }
  static void write(const double* in, T* p, int64_t stride, int64_t n) {
    // A type of 16 bits is rounded from single precision, as all arithmetic in it is.
    using Step = std::conditional_t<sizeof(T) < 4, float, T>;
    for (int64_t k = 0; k < n; ++k) p[k * stride] = static_cast<T>(static_cast<Step>(in[k]));
  }
};

/// The rows of a tensor as arguments of a kernel: in place where they lie as it wants them. The
/// layouts stay the caller's.
template <class T>
class RowReader {
 public:
  RowReader(const T* base, const RowLayout& layout) : RowReader(base, layout, nullptr, layout) {}
  RowReader(const T* base, const RowLayout& layout, const bool* mask, const RowLayout& mask_layout)
      : base_(base), layout_(layout), mask_(mask), mask_layout_(mask_layout) {}

  /// Row n, in the caller's memory or in `copy`.
  template <class Real>
  const Real* row(int64_t n, Real* copy) const {
    const T* first = base_ + layout_.start(n);
    if constexpr (std::is_same_v<T, Real>) {
      if (layout_.stride == 1 && mask_ == nullptr) return first;
    }
    Storage<T>::read(first, layout_.stride, layout_.K, copy);
    if (mask_ != nullptr) hide(n, copy, 1);
    return copy;
  }

  /// Rows n .. n + count - 1 in lanes; `rows` holds kLanes rows.
  void lanes(int64_t n, int count, float* out, float* rows) const {
    const int64_t K = layout_.K;
    int64_t begin[kLanes];
    layout_.starts(n, count, begin);
    const float* pointers[kLanes];
    if (layout_.stride != 1 && adjacent(begin)) {
      for (int64_t k = 0; k < K; ++k) {
        Storage<T>::read(base_ + begin[0] + k * layout_.stride, 1, kLanes, out + k * kLanes);
      }
    } else {
      rows_in_memory(begin, count, rows, pointers);
      kernels().pack(pointers, K, out);
    }
    if (mask_ == nullptr) return;
    for (int i = 0; i < kLanes; ++i) hide(n + std::min(i, count - 1), out + i, kLanes);
  }

 private:
  static bool adjacent(const int64_t* begin) {
    for (int i = 1; i < kLanes; ++i) {
      if (begin[i] != begin[0] + i) return false;
    }
    return true;
  }

  void rows_in_memory(const int64_t* begin, int count, float* copies,
                      const float** pointers) const {
    if constexpr (std::is_same_v<T, float>) {
      if (layout_.stride == 1) {
        for (int i = 0; i < kLanes; ++i) pointers[i] = base_ + begin[i];
        return;
      }
    }
    const int64_t K = layout_.K;
    for (int i = 0; i < kLanes; ++i) pointers[i] = copies + std::min(i, count - 1) * K;
    if (layout_.stride == 1 && one_after_the_other(begin, count)) {
      Storage<T>::read(base_ + begin[0], 1, count * K, copies);
      return;
    }
    for (int i = 0; i < count; ++i) {
      Storage<T>::read(base_ + begin[i], layout_.stride, K, copies + i * K);
    }
  }

  bool one_after_the_other(const int64_t* begin, int count) const {
    for (int i = 1; i < count; ++i) {
      if (begin[i] != begin[i - 1] + layout_.K) return false;
    }
    return true;
  }

  template <class Real>
  void hide(int64_t n, Real* row, int64_t step) const {
    const bool* allowed = mask_ + mask_layout_.start(n);
    for (int64_t k = 0; k < layout_.K; ++k) {
      if (!allowed[k * mask_layout_.stride]) {
        row[k * step] = -std::numeric_limits<Real>::infinity();
      }
    }
  }

  const T* base_;
  const RowLayout& layout_;
  const bool* mask_;
  const RowLayout& mask_layout_;
};

/// The rows of a result. The layout stays the caller's.
template <class T>
class RowWriter {
 public:
  RowWriter(T* base, const RowLayout& layout) : base_(base), layout_(layout) {}

  /// Where row n can be computed: in the result itself or in `copy`, which finish() then writes.
  template <class Real>
  Real* row(int64_t n, Real* copy) const {
    if constexpr (std::is_same_v<T, Real>) {
      if (layout_.stride == 1) return base_ + layout_.start(n);
    }
    return copy;
  }
  template <class Real>
  void finish(int64_t n, const Real* row) const {
    T* first = base_ + layout_.start(n);
    if (static_cast<const void*>(row) == static_cast<const void*>(first)) return;
    Storage<T>::write(row, first, layout_.stride, layout_.K);
  }

  void lanes(int64_t n, int count, const float* in, float* rows) const {
    const int64_t K = layout_.K;
    int64_t begin[kLanes];
    layout_.starts(n, count, begin);
    if (layout_.stride != 1 && begin[count - 1] == begin[0] + count - 1) {
      for (int64_t k = 0; k < K; ++k) {
        Storage<T>::write(in + k * kLanes, base_ + begin[0] + k * layout_.stride, 1, count);
      }
      return;
    }
    float* pointers[kLanes];
    constexpr bool kFloat = std::is_same_v<T, float>;
    const bool in_place = kFloat && layout_.stride == 1;
    for (int i = 0; i < kLanes; ++i) {
      if constexpr (kFloat) pointers[i] = in_place ? base_ + begin[i] : rows + i * K;
      if constexpr (!kFloat) pointers[i] = rows + i * K;
    }
    kernels().unpack(in, K, pointers, count);
    if (in_place) return;
    if (one_span(begin, count)) return Storage<T>::write(rows, base_ + begin[0], 1, count * K);
    for (int i = 0; i < count; ++i) {
      Storage<T>::write(pointers[i], base_ + begin[i], layout_.stride, K);
    }
  }

  /// Rows n .. n + count - 1, each of zeros but 1 at its category.
  void onehots(int64_t n, int count, const int64_t* category) const {
    int64_t begin[kLanes];
    layout_.starts(n, count, begin);
    const bool together = one_span(begin, count);
    if (together) std::fill_n(base_ + begin[0], count * layout_.K, T(0));
    for (int i = 0; i < count; ++i) {
      T* first = base_ + begin[i];
      for (int64_t k = 0; !together && k < layout_.K; ++k) first[k * layout_.stride] = T(0);
      first[category[i] * layout_.stride] = T(1);
    }
  }

  /// A row of one value, but 1 at `index` if that is not negative.
  void onehot(int64_t n, T value, int64_t index) const {
    T* first = base_ + layout_.start(n);
    if (layout_.stride == 1) {
      std::fill_n(first, layout_.K, value);
    } else {
      for (int64_t k = 0; k < layout_.K; ++k) first[k * layout_.stride] = value;
    }
    if (index >= 0) first[index * layout_.stride] = T(1);
  }

 private:
  /// A result is dense: rows that are one span at their ends are so between them.
  bool one_span(const int64_t* begin, int count) const {
    return layout_.stride == 1 && begin[count - 1] == begin[0] + (count - 1) * layout_.K;
  }

  T* base_;
  const RowLayout& layout_;
};

}  // namespace gradthru::cpu
