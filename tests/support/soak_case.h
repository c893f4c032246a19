#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/estimators.h"

// Random logits of every kind that a call may meet, and a look at every element of its results.
namespace support {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// No Gumbel lies further from another than this: 45.06 + 3.81.
inline constexpr double kReach = 49;

/// [rows, K] in `dtype` between -1e4 and 1e4 and -inf: rows of equal, close, spread and saturated
/// logits, some of them without most categories, a few without any.
inline at::Tensor soak_logits(int64_t rows, int64_t K, at::ScalarType dtype, at::Generator g) {
  const at::TensorOptions floats(at::kFloat);
  const at::Tensor kind = at::randint(0, 6, {rows, 1}, g, at::TensorOptions(at::kLong));
  const at::Tensor scales = at::tensor({0.0f, 1e-3f, 1.5f, 30.0f, 3e3f, 1e9f}, floats);
  at::Tensor logits =
      at::randn({rows, K}, g, floats) * scales.index_select(0, kind.flatten()).unsqueeze(1);
  logits = logits.clamp(-1e4, 1e4);
  const at::Tensor shares = at::tensor({0.0f, 0.0f, 0.3f, 0.9f, 1.0f}, floats);
  const at::Tensor hole = at::randint(0, 40, {rows}, g, at::TensorOptions(at::kLong));
  const at::Tensor share = shares.index_select(0, hole.remainder(4) + hole.eq(39).to(at::kLong));
  logits.masked_fill_(at::rand({rows, K}, g, floats).lt(share.unsqueeze(1)), kMinusInfinity);
  return logits.to(dtype);
}

/// The bits of an element: for what must be a zero or a one to the last of them.
template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 8, uint64_t,
                                  std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;

template <class T>
BitsOf<T> bits_of(T value) {
  BitsOf<T> bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// What the draws of a row may give.
struct SoakRows {
  int64_t K;
  std::vector<float> allowed;  ///< [rows, K]: the logit, -inf where there is no category
  std::vector<float> floor;    ///< no category below it can be drawn; +inf if there is none at all
};

/// `span` is how far below the largest logit a drawn one may lie.
inline SoakRows soak_rows(const at::Tensor& logits, const std::optional<at::Tensor>& mask,
                          double span) {
  at::Tensor allowed = logits.to(at::kFloat);
  if (mask) allowed = at::where(*mask, allowed, at::full({}, kMinusInfinity));
  allowed = allowed.contiguous();
  SoakRows rows{logits.size(1), {}, {}};
  rows.allowed.assign(allowed.data_ptr<float>(), allowed.data_ptr<float>() + allowed.numel());
  const at::Tensor top = allowed.amax(1);
  for (int64_t n = 0; n < top.size(0); ++n) {
    const float largest = top.data_ptr<float>()[n];
    rows.floor.push_back(largest == kMinusInfinity ? -kMinusInfinity
                                                   : std::max<float>(largest - span, -3e38f));
  }
  return rows;
}

/// What is wrong with the draws `index` [S, rows] and `value` [S, rows, K]; empty if nothing is.
template <class T>
std::string fault_in_draws(const SoakRows& rows, const int64_t* index, const T* value,
                           int64_t samples, bool hard) {
  const int64_t N = static_cast<int64_t>(rows.floor.size()), K = rows.K;
  int64_t drawn = 0, nonzero = 0;
  for (int64_t s = 0, i = 0; s < samples; ++s) {
    for (int64_t n = 0; n < N; ++n, ++i) {
      const int64_t x = index[i];
      const auto fault = [&](const char* what) {
        return what + (" in row " + std::to_string(n)) + ": " + std::to_string(x);
      };
      const bool empty = std::isinf(rows.floor[n]);
      if (empty != (x == -1) || x < -1 || x >= K) return fault("index out of range");
      if (empty) continue;
      if (!(rows.allowed[n * K + x] >= rows.floor[n])) return fault("impossible category");
      if (hard && bits_of(value[i * K + x]) != bits_of(T(1))) return fault("no one at the index");
      ++drawn;
    }
  }
  for (int64_t i = 0; i < samples * N * K; ++i) nonzero += bits_of(value[i]) != 0;
  if (hard) return nonzero == drawn ? "" : "a sample is not one-hot";
  for (int64_t i = 0; i < samples * N * K; ++i) {
    const float share = static_cast<float>(value[i]);
    const bool exists = rows.allowed[i % (N * K)] > kMinusInfinity;
    if (!(share >= 0 && share <= 1) || (!exists && share != 0))
      return "relaxed sample " + std::to_string(share);
  }
  return "";
}

/// What is wrong with a gradient [rows, K] whose first rows are those of `rows`.
template <class T>
std::string fault_in_gradient(const SoakRows& rows, const T* grad, int64_t count,
                              bool may_overflow) {
  for (int64_t i = 0; i < count * rows.K; ++i) {
    const float entry = static_cast<float>(grad[i]);
    const bool good = may_overflow ? !std::isnan(entry) : std::isfinite(entry);
    const bool exists = rows.allowed[i] > kMinusInfinity;
    if (!good || (!exists && entry != 0)) {
      return "gradient " + std::to_string(entry) + " in row " + std::to_string(i / rows.K) +
             " column " + std::to_string(i % rows.K) + (exists ? "" : ", which does not exist");
    }
  }
  return "";
}

}  // namespace support
