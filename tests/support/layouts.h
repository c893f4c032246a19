#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace support {

/// How the elements of a tensor lie in memory.
enum class Layout { contiguous, transposed, sliced, misaligned, expanded };

inline const std::vector<Layout> kLayouts = {Layout::contiguous, Layout::transposed, Layout::sliced,
                                             Layout::misaligned, Layout::expanded};

inline std::string name_of(Layout layout) {
  switch (layout) {
    case Layout::contiguous:
      return "contiguous";
    case Layout::transposed:
      return "transposed";
    case Layout::sliced:
      return "sliced";
    case Layout::misaligned:
      return "misaligned";
    case Layout::expanded:
      return "expanded";
  }
  return "";
}

inline at::Tensor filled_with_nan(at::IntArrayRef shape, at::ScalarType dtype) {
  return at::full(shape, std::numeric_limits<double>::quiet_NaN(), at::TensorOptions(dtype));
}

/// The same values with other strides; what lies between them in memory is NaN. Expanded repeats
/// the first slice along `dim` with stride 0, so it alone has other values.
inline at::Tensor arranged(const at::Tensor& values, Layout layout, int64_t repeated_dim) {
  if (layout == Layout::transposed) {
    std::vector<int64_t> reversed;
    for (int64_t d = values.dim() - 1; d >= 0; --d) reversed.push_back(d);
    return values.permute(reversed).contiguous().permute(reversed);
  }
  if (layout == Layout::sliced) {
    std::vector<int64_t> shape = values.sizes().vec();
    shape.back() *= 2;
    at::Tensor sliced = filled_with_nan(shape, values.scalar_type()).slice(-1, 1, shape.back(), 2);
    sliced.copy_(values);
    return sliced;
  }
  if (layout == Layout::misaligned) {
    at::Tensor shifted = filled_with_nan({values.numel() + 2}, values.scalar_type())
                             .narrow(0, 1, values.numel())
                             .view(values.sizes());
    shifted.copy_(values);
    return shifted;
  }
  if (layout == Layout::expanded)
    return values.narrow(repeated_dim, 0, 1).contiguous().expand(values.sizes());
  return values.contiguous();
}

/// A shape of rows with K categories along `dim`; `row_dim` is another dimension.
struct Shape {
  std::string name;
  std::vector<int64_t> sizes;
  int64_t dim;
  int64_t row_dim;
};

/// Four rows each.
inline std::vector<Shape> shapes(int64_t categories) {
  return {{"rows_by_K", {4, categories}, -1, 0},
          {"K_by_rows", {categories, 4}, 0, 1},
          {"K_between", {2, categories, 2}, 1, 2},
          {"K_before_last", {2, 1, categories, 2}, -2, 0}};
}

}  // namespace support
