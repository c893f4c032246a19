#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "cpu/row_access.h"
#include "cpu/simd/kernels.h"
#include "math/sampler.h"

namespace gradthru::cpu {

using at::Tensor;
using math::Params;

/// The arguments that sampling and its backward share.
struct Options {
  const std::optional<Tensor>& mask;
  const std::optional<Tensor>& tau_f;
  const std::optional<Tensor>& tau_b;
  at::ArrayRef<double> numbers;
  double uniform_mix;
  int64_t seed, offset, row0, dim;
};

/// Uninitialised memory of one thread.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t count)
      : data_(static_cast<T*>(
            ::operator new(static_cast<size_t>(count) * sizeof(T), std::align_val_t{64}))) {}
  T* data() const { return data_.get(); }

 private:
  struct Delete {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Delete> data_;
};

/// How rows are worked on. The choice depends on the dtype and K alone, so that the bits do not
/// depend on the batch.
enum class Path { lanes, vector, scalar };

/// Everything a driver knows of one call.
class CategoricalCall {
 public:
  CategoricalCall(const Tensor& logits, const Options& options, std::string_view method,
                  bool is_given, bool sequential, const char* op)
      : given(is_given),
        uniform_mix(options.uniform_mix),
        seed(static_cast<uint64_t>(options.seed)),
        offset(static_cast<uint64_t>(options.offset)),
        row0(static_cast<uint64_t>(options.row0)),
        axis(options.dim < 0 ? options.dim + logits.dim() : options.dim),
        layout(logits, axis) {
    K = layout.K;
    N = logits.numel() == 0 ? 0 : layout.N;
    const size_t count = options.numbers.size();
    TORCH_CHECK_VALUE(count >= Params::count, op, ": params of the wrong length");
    params = Params::from(options.numbers.data(), static_cast<int64_t>(count));
    facts = math::facts_of(method, params, given);
    TORCH_CHECK_VALUE(!facts.name.empty(), op, ": unknown method '", method, "'");
    TORCH_CHECK_VALUE(facts.accepts(count, K), op, ": params of the wrong length");
    if (options.mask) {
      mask = options.mask->expand(logits.sizes());
      mask_layout = RowLayout(mask, axis);
    }
    std::vector<int64_t> rows = logits.sizes().vec();
    rows.erase(rows.begin() + axis);
    const auto per_row = [&](const std::optional<Tensor>& tau, double& scalar) {
      if (!tau) return Tensor();
      scalar = std::numeric_limits<double>::quiet_NaN();  // no constant may be relied upon
      return tau->to(at::kDouble).expand(rows).contiguous();
    };
    const Params constant = params;
    tau_f = per_row(options.tau_f, params.tau_f);
    tau_b = per_row(options.tau_b, params.tau_b);
    constant_tau_f = constant.tau_f;
    constant_tau_b = constant.tau_b;
    const bool narrow = K <= kMaxLaneCategories;
    path = sequential || logits.scalar_type() == at::kDouble ? Path::scalar
           : narrow                                          ? Path::lanes
                                                             : Path::vector;
  }

  /// The temperatures of row n; false if an entry is none.
  bool temperatures(int64_t n, double* f, double* b) const {
    *f = tau_f.defined() ? tau_f.const_data_ptr<double>()[n] : constant_tau_f;
    *b = tau_b.defined() ? tau_b.const_data_ptr<double>()[n] : constant_tau_b;
    const auto valid = [](double tau) { return tau > 0 && std::isfinite(tau); };
    return (!tau_f.defined() || valid(*f)) && (!tau_b.defined() || valid(*b));
  }

  bool tensor_temperatures() const { return tau_f.defined() || tau_b.defined(); }

  /// Whether the law of the index has no temperature.
  bool untempered() const { return facts.draw != math::Draw::uniform && params.scaled_sum(); }

  Sampler sampler() const {
    if (facts.draw == math::Draw::gumbel) return Sampler::gumbel_race;
    const bool at_zero = !untempered() && params.tau_f == 0;
    if (uniform_mix > 0) return at_zero ? Sampler::mixed_argmax : Sampler::mixed;
    return at_zero ? Sampler::argmax : Sampler::inverse_cdf;
  }

  /// 1/tau of the index's law.
  template <class Real>
  double inverse_law(double f) const {
    return untempered() ? 1 : math::inverse<Real>(f);
  }

  /// A block of the kernels with what does not depend on the row.
  RowBlock block() const {
    RowBlock b{};
    b.K = K;
    b.seed = seed;
    b.params = &params;
    b.uniform_mix = uniform_mix;
    b.given = given;
    b.untempered = untempered();
    if (!tensor_temperatures()) {
      for (int i = 0; i < kLanes; ++i) set_temperatures(b, i, constant_tau_f, constant_tau_b);
    }
    return b;
  }

  /// Makes `b` the block of rows n .. n + count - 1 of sample s. Returns the lanes with a
  /// temperature that is none.
  uint32_t begin_block(RowBlock& b, int64_t n, int count, int64_t s) const {
    b.row = row0 + static_cast<uint64_t>(n);
    b.offset = offset + static_cast<uint64_t>(s) * facts.offsets;
    uint32_t invalid = 0;
    if (!tensor_temperatures()) return invalid;
    for (int i = 0; i < kLanes; ++i) {
      double f, b_tau;
      if (!temperatures(n + std::min(i, count - 1), &f, &b_tau)) invalid |= 1u << i;
      set_temperatures(b, i, f, b_tau);
    }
    return invalid;
  }

  const bool* mask_data() const { return mask.defined() ? mask.const_data_ptr<bool>() : nullptr; }

  /// Rows that are worth a thread of their own.
  int64_t grain(int64_t rows_per_step) const {
    return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, K * rows_per_step));
  }

  Params params;
  math::MethodFacts facts;
  bool given;
  double uniform_mix, constant_tau_f = 1, constant_tau_b = 1;
  uint64_t seed, offset, row0;
  int64_t axis, N, K;
  RowLayout layout, mask_layout;
  Tensor mask, tau_f, tau_b;
  Path path;

 private:
  static void set_temperatures(RowBlock& b, int i, double f, double backward) {
    b.tau_f[i] = static_cast<float>(f);
    b.inv_tau_f[i] = static_cast<float>(math::inverse<float>(f));
    b.tau_b[i] = static_cast<float>(backward);
    b.inv_tau_b[i] = static_cast<float>(math::inverse<float>(backward));
  }
};

/// A given category: -1 skips the row; what lies outside the row or has no probability is invalid,
/// as is everything in a row of which `maximum` is NaN.
template <class Real>
int64_t accept_given(int64_t given, int64_t K, Real maximum, const Real* logits, int64_t step) {
  if (given == -1) return math::kEmpty;
  if (!(given >= 0 && given < K) || std::isnan(maximum)) return math::kInvalid;
  return logits[given * step] > -std::numeric_limits<Real>::infinity() ? given : math::kInvalid;
}

/// What a drawn index of -1 stands for is found in the row again: an invalid one or an empty one.
template <class Real>
int64_t accept_drawn(int64_t drawn, int64_t K, const Real* logits, int64_t step) {
  if (drawn >= 0) return drawn < K ? drawn : math::kInvalid;  // only a foreign index is beyond
  for (int64_t k = 0; k < K; ++k) {
    if (!(logits[k * step] < std::numeric_limits<Real>::infinity())) return math::kInvalid;
  }
  return math::kEmpty;
}

/// Rows of a block, the last one perhaps cut short.
inline int rows_of_block(int64_t block, int64_t N) {
  return static_cast<int>(std::min<int64_t>(kLanes, N - block * kLanes));
}

/// Shares the columns of a long row among the threads.
inline void run_blocks(int64_t blocks, void* context, void (*fn)(void*, int64_t)) {
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) fn(context, b);
  });
}

/// Calls work(begin, end, run) over the rows: on several threads, or one after the other with the
/// columns shared where the rows are few and long.
template <class Work>
void over_rows(int64_t rows, int64_t K, int64_t grain, const Work& work) {
  constexpr int64_t kLong = 65536;
  if (rows < at::get_num_threads() && K >= kLong) {
    work(0, rows, &run_blocks);
    return;
  }
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    work(begin, end, static_cast<RunBlocks>(nullptr));
  });
}

}  // namespace gradthru::cpu
