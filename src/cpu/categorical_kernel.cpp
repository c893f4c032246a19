// CPU driver of the categorical family: dtype switch, memory layout, threads. The formulas are in
// src/math; this file only brings rows to them.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "math/mixture.h"
#include "math/registry.h"

namespace gradthru {
namespace {

using at::Tensor;
using math::Params;

/// A contiguous tensor [outer, K, inner] seen as N = outer * inner rows of K categories.
struct Rows {
  int64_t N, K, inner;

  Rows(const Tensor& logits, int64_t dim) {
    K = logits.size(dim);
    inner = 1;
    for (int64_t d = dim + 1; d < logits.dim(); ++d) inner *= logits.size(d);
    N = K == 0 ? 0 : logits.numel() / K;
  }
  int64_t start(int64_t row) const { return (row / inner) * K * inner + row % inner; }
  int64_t grain() const { return std::max<int64_t>(1, 16384 / std::max<int64_t>(K, 1)); }
};

/// One row in the caller's memory where its elements are adjacent, else a copy of it.
template <class T>
class RowBuffer {
 public:
  explicit RowBuffer(const Rows& rows) : rows_(rows), copy_(rows.inner == 1 ? 0 : rows.K) {}

  const T* read(const T* base, int64_t row) {
    const T* first = base + rows_.start(row);
    if (rows_.inner == 1) return first;
    for (int64_t k = 0; k < rows_.K; ++k) copy_[k] = first[k * rows_.inner];
    return copy_.data();
  }
  T* write_to(T* base, int64_t row) {
    return rows_.inner == 1 ? base + rows_.start(row) : copy_.data();
  }
  void flush(T* base, int64_t row) const {
    if (rows_.inner == 1) return;
    T* first = base + rows_.start(row);
    for (int64_t k = 0; k < rows_.K; ++k) first[k * rows_.inner] = copy_[k];
  }

 private:
  Rows rows_;
  std::vector<T> copy_;
};

/// What one call knows of its random numbers.
struct Stream {
  uint64_t seed, offset, row0;
};

template <class T>
struct SampleRow {
  using Tile = math::ScalarTile<T>;

  const math::MethodFacts& facts;
  const Params& params;
  int64_t K;

  /// The drawn category, or kInvalid, kEmpty.
  int64_t draw(const Tile& t, const T* logits, const typename Tile::Stream& stream,
               T* scratch) const {
    const bool untempered = facts.draw != math::Draw::uniform && params.scaled_sum();
    const auto inv_tau = untempered ? T{1} : static_cast<T>(math::inverse<T>(params.tau_f));
    math::Drawn<Tile> drawn;
    if (facts.draw == math::Draw::gumbel) {
      drawn = math::gumbel_argmax(t, logits, inv_tau, stream, scratch, K);
    } else if (params.tau_f == 0) {
      drawn = math::argmax(t, logits, K);
    } else {
      drawn = math::inverse_cdf(t, logits, inv_tau, stream, K);
    }
    if (std::isnan(drawn.maximum)) return math::kInvalid;
    return std::isinf(drawn.maximum) ? math::kEmpty : drawn.index;
  }
};

/// A given category: -1 skips the row; what lies outside the row or has no probability is invalid.
template <class T>
int64_t accept_given(const T* logits, int64_t K, int64_t given) {
  if (given == -1) return math::kEmpty;
  const bool valid = given >= 0 && given < K && logits[given] > -std::numeric_limits<T>::infinity();
  return valid ? given : math::kInvalid;
}

/// What a drawn index of -1 stands for is found in the row again: an invalid one or an empty one.
template <class T>
int64_t accept_drawn(const T* logits, int64_t K, int64_t drawn) {
  if (drawn >= 0) return drawn < K ? drawn : math::kInvalid;  // only a foreign index is beyond
  const T maximum = math::row_maximum(math::ScalarTile<T>{}, logits, K);
  return std::isnan(maximum) ? math::kInvalid : math::kEmpty;
}

template <class T>
void fill_value(T* out, int64_t K, int64_t index) {
  std::fill_n(out, K, index == math::kInvalid ? std::numeric_limits<T>::quiet_NaN() : T{0});
  if (index >= 0) out[index] = T{1};
}

/// Draws (or accepts) samples * N rows and writes their values and indices.
template <class T>
void sample_rows(const Tensor& logits, const std::optional<Tensor>& given, const Rows& rows,
                 int64_t samples, const math::MethodFacts& facts, const Params& params,
                 Stream stream, Tensor& value, Tensor& index) {
  using Tile = math::ScalarTile<T>;
  const T* logits_base = logits.const_data_ptr<T>();
  const int64_t* given_base = given ? given->const_data_ptr<int64_t>() : nullptr;
  const int64_t given_count = given ? given->numel() : 0;
  T* value_base = value.mutable_data_ptr<T>();
  int64_t* index_base = index.mutable_data_ptr<int64_t>();
  const bool relaxed = params.hard == 0 && facts.draw == math::Draw::gumbel;
  at::parallel_for(0, samples * rows.N, rows.grain(), [&](int64_t begin, int64_t end) {
    const Tile t;
    const SampleRow<T> sampler{facts, params, rows.K};
    RowBuffer<T> in(rows), out(rows);
    std::vector<T> scratch(2 * rows.K);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t s = i / rows.N, n = i % rows.N;
      const typename Tile::Stream cell{stream.seed, stream.offset + s * facts.offsets,
                                       stream.row0 + n};
      const T* row = in.read(logits_base, n);
      const int64_t drawn = given_base ? accept_given(row, rows.K, given_base[i % given_count])
                                       : sampler.draw(t, row, cell, scratch.data());
      T* base = value_base + s * rows.N * rows.K;
      T* target = out.write_to(base, n);
      if (relaxed && drawn >= 0) {
        math::gumbel_softmax::forward(
            t,
            math::Row<Tile>{row, row, target, scratch.data(), rows.K, drawn, given_base != nullptr,
                            cell, math::Temperatures<Tile>::of(params.tau_f, params.tau_b)},
            params);
      } else {
        fill_value(target, rows.K, drawn);
      }
      out.flush(base, n);
      // kInvalid keeps its NaN value, but both read -1 in the index that the caller sees.
      index_base[i] = std::max<int64_t>(drawn, -1);
    }
  });
}

std::tuple<Tensor, Tensor> sample_cpu(const Tensor& logits, const std::optional<Tensor>& given,
                                      std::string_view method, at::ArrayRef<double> numbers,
                                      int64_t seed, int64_t offset, int64_t row0, int64_t dim,
                                      std::optional<int64_t> samples) {
  TORCH_CHECK_VALUE(numbers.size() >= Params::count, "sample: params of the wrong length");
  const Params params = Params::from(numbers.data(), static_cast<int64_t>(numbers.size()));
  const auto facts = math::facts_of(method, params, given.has_value());
  TORCH_CHECK_VALUE(!facts.name.empty(), "sample: unknown method '", method, "'");
  const Tensor dense = logits.contiguous();
  const int64_t axis = dim < 0 ? dim + logits.dim() : dim;
  TORCH_CHECK_VALUE(facts.accepts(numbers.size(), logits.size(axis)),
                    "sample: params of the wrong length");
  const Rows rows(dense, axis);
  // The operator checks its arguments in words; inference mode reaches this kernel without it.
  TORCH_CHECK_VALUE(
      !given || given->numel() == rows.N || given->numel() == rows.N * samples.value_or(1),
      "sample: index of the wrong size");
  std::vector<int64_t> value_shape, index_shape;
  if (samples) value_shape.push_back(*samples);
  index_shape = value_shape;
  for (int64_t d = 0; d < logits.dim(); ++d) {
    value_shape.push_back(logits.size(d));
    if (d != axis) index_shape.push_back(logits.size(d));
  }
  Tensor value = at::empty(value_shape, dense.options());
  Tensor index = at::empty(index_shape, dense.options().dtype(at::kLong));
  const std::optional<Tensor> dense_given =
      given ? std::optional(given->contiguous()) : std::nullopt;
  const Stream stream{static_cast<uint64_t>(seed), static_cast<uint64_t>(offset),
                      static_cast<uint64_t>(row0)};
  AT_DISPATCH_FLOATING_TYPES(dense.scalar_type(), "gradthru::sample", [&] {
    sample_rows<scalar_t>(dense, dense_given, rows, samples.value_or(1), facts, params, stream,
                          value, index);
  });
  return {value, index};
}

/// The gradient of one row and one sample in row.out.
template <class Rule, class T>
void backward_row(const math::ScalarTile<T>& t, const math::Row<math::ScalarTile<T>>& row,
                  const Params& params) {
  if (row.index >= 0) return Rule::backward(t, row, params);
  const bool invalid = row.index == math::kInvalid;
  std::fill_n(row.out, row.K, invalid ? std::numeric_limits<T>::quiet_NaN() : T{0});
}

template <class Rule, class T>
void backward_rows(const Tensor& grad, const Tensor& logits, const Tensor& index, const Rows& rows,
                   int64_t samples, const math::MethodFacts& facts, bool given,
                   const Params& params, Stream stream, Tensor& result) {
  using Tile = math::ScalarTile<T>;
  const T* grad_base = grad.const_data_ptr<T>();
  const T* logits_base = logits.const_data_ptr<T>();
  const int64_t* index_base = index.const_data_ptr<int64_t>();
  T* result_base = result.mutable_data_ptr<T>();
  at::parallel_for(0, rows.N, rows.grain(), [&](int64_t begin, int64_t end) {
    RowBuffer<T> logits_row(rows), grad_row(rows), out(rows);
    std::vector<T> scratch(math::scratch_rows<Rule>(rows.K) * rows.K),
        one(samples == 1 ? 0 : rows.K);
    const Tile t;
    for (int64_t n = begin; n < end; ++n) {
      T* sum = out.write_to(result_base, n);
      if (samples != 1) std::fill_n(sum, rows.K, T{0});
      const T* row_logits = logits_row.read(logits_base, n);
      for (int64_t s = 0; s < samples; ++s) {
        const T* g = grad_row.read(grad_base + s * rows.N * rows.K, n);
        const int64_t stored = index_base[(s * rows.N + n) % index.numel()];
        const int64_t category = given ? accept_given(row_logits, rows.K, stored)
                                       : accept_drawn(row_logits, rows.K, stored);
        const math::Row<Tile> row{row_logits,
                                  g,
                                  samples == 1 ? sum : one.data(),
                                  scratch.data(),
                                  rows.K,
                                  category,
                                  given,
                                  {stream.seed, stream.offset + s * facts.offsets,
                                   stream.row0 + static_cast<uint64_t>(n)},
                                  math::Temperatures<Tile>::of(params.tau_f, params.tau_b)};
        backward_row<Rule>(t, row, params);
        if (samples != 1) {
          for (int64_t k = 0; k < rows.K; ++k) sum[k] += one[k];
        }
      }
      out.flush(result_base, n);
    }
  });
}

template <class Entry>
struct Backward {
  static Tensor call(const Tensor& grad, const Tensor& logits, const Tensor& index,
                     at::ArrayRef<double> numbers, int64_t seed, int64_t offset, int64_t row0,
                     int64_t dim, bool given) {
    if (math::is_sequential<typename Entry::Rule>() && logits.scalar_type() != at::kDouble) {
      return call(grad.to(at::kDouble), logits.to(at::kDouble), index, numbers, seed, offset, row0,
                  dim, given)
          .to(logits.scalar_type());
    }
    TORCH_CHECK_VALUE(numbers.size() >= Params::count, Entry::kName,
                      ": params of the wrong length");
    const Params params = Params::from(numbers.data(), static_cast<int64_t>(numbers.size()));
    const auto facts = math::facts_of(Entry::kName, params, given);
    const Tensor dense = logits.contiguous();
    const int64_t axis = dim < 0 ? dim + logits.dim() : dim;
    TORCH_CHECK_VALUE(facts.accepts(numbers.size(), logits.size(axis)), Entry::kName,
                      ": params of the wrong length");
    const Rows rows(dense, axis);
    const int64_t samples = grad.dim() > logits.dim() ? grad.size(0) : 1;
    TORCH_CHECK_VALUE(grad.numel() == samples * dense.numel() &&
                          (index.numel() == rows.N || index.numel() == samples * rows.N),
                      Entry::kName, "_backward: grad and index must have the sizes of the sample");
    Tensor result = at::empty(dense.sizes(), dense.options());
    const Stream stream{static_cast<uint64_t>(seed), static_cast<uint64_t>(offset),
                        static_cast<uint64_t>(row0)};
    const auto run = [&]<class T>(T) {
      backward_rows<typename Entry::Rule, T>(grad.contiguous(), dense, index.contiguous(), rows,
                                             samples, facts, given, params, stream, result);
    };
    if constexpr (math::is_sequential<typename Entry::Rule>()) {
      run(double{});
    } else {
      AT_DISPATCH_FLOATING_TYPES(dense.scalar_type(), "gradthru::backward",
                                 [&] { run(scalar_t{}); });
    }
    return result;
  }
};

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
  m.impl("sample", &sample_cpu);
#define GRADTHRU_ESTIMATOR(name, ...) \
  m.impl(#name "_backward", &Backward<math::name##_entry>::call);
#include "gradthru/estimators.def"
}

}  // namespace
}  // namespace gradthru
