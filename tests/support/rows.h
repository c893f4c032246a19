#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace support {

using Row = std::vector<double>;

inline Row row_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous().reshape({-1});
  return Row(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
}

/// [rows, K]: rows numbered in row-major order of the shape without `dim`.
inline at::Tensor matrix_of(const at::Tensor& tensor, int64_t dim) {
  const at::Tensor last = tensor.detach().movedim(dim, -1).contiguous();
  return last.reshape({-1, tensor.size(dim)});
}

inline std::vector<Row> rows_of(const at::Tensor& tensor, int64_t dim = -1) {
  const at::Tensor matrix = matrix_of(tensor, dim);
  std::vector<Row> rows;
  for (int64_t n = 0; n < matrix.size(0); ++n) rows.push_back(row_of(matrix[n]));
  return rows;
}

inline std::vector<int64_t> indices_of(const at::Tensor& index) {
  const at::Tensor flat = index.contiguous().reshape({-1});
  return std::vector<int64_t>(flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel());
}

inline at::Tensor tensor_of(const Row& row) {
  return at::tensor(at::ArrayRef<double>(row), at::TensorOptions(at::kDouble));
}

inline at::Tensor matrix_from(const std::vector<Row>& rows) {
  std::vector<at::Tensor> tensors;
  for (const Row& row : rows) tensors.push_back(tensor_of(row));
  return at::stack(tensors);
}

inline at::Tensor index_tensor(const std::vector<int64_t>& index) {
  return at::tensor(at::ArrayRef<int64_t>(index), at::TensorOptions(at::kLong));
}

inline double max_abs(const at::Tensor& tensor) {
  return tensor.numel() == 0 ? 0 : tensor.detach().abs().max().item().toDouble();
}

}  // namespace support
