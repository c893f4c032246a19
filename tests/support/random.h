#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <random>
#include <vector>

namespace support {

/// Random cases of the tests, from a fixed seed each.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  double number(double scale = 1) { return scale * normal_(engine_); }

  double uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }

  int64_t integer(int64_t low, int64_t high) {  // both included
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }

  std::vector<double> normals(int64_t count, double scale = 1) {
    std::vector<double> values(static_cast<size_t>(count));
    for (double& value : values) value = number(scale);
    return values;
  }

  at::Tensor normal(at::IntArrayRef shape, double scale = 1, at::ScalarType dtype = at::kDouble) {
    at::Tensor values = at::empty(shape, at::kDouble);
    double* data = values.data_ptr<double>();
    for (int64_t i = 0; i < values.numel(); ++i) data[i] = number(scale);
    return values.to(dtype);
  }

  at::Tensor integers(at::IntArrayRef shape, int64_t low, int64_t high) {
    at::Tensor values = at::empty(shape, at::kLong);
    int64_t* data = values.data_ptr<int64_t>();
    for (int64_t i = 0; i < values.numel(); ++i) data[i] = integer(low, high);
    return values;
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<double> normal_;
};

/// The spread of random logits: probabilities from rare to dominant.
inline constexpr double kLogitScale = 1.5;

}  // namespace support
