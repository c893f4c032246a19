// CPU driver of the categorical backwards: dtypes, memory layout, threads, the sum over samples.
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include "cpu/categorical_call.h"
#include "math/mixture.h"

namespace gradthru::cpu {
namespace {

/// The gradient of one row in double.
using DoubleTile = math::ScalarTile<double>;
using RowRule = void (*)(const math::Row<DoubleTile>&, const Params&, double uniform_mix);

template <class Rule>
void row_rule(const math::Row<DoubleTile>& row, const Params& params, double uniform_mix) {
  math::gradient_of<Rule>(DoubleTile(), row, params, uniform_mix);
}

/// What the backward of one call reads and writes.
struct Gradients {
  Tensor grad, logits, index, result;
  int64_t samples;
  size_t method;  ///< in the registry
  RowRule rule;
  int64_t scratch_rows;

  bool has_sample_dimension() const { return grad.dim() > logits.dim(); }
};

template <class T>
class Backward {
 public:
  Backward(const CategoricalCall& call, const Gradients& g)
      : call_(call),
        g_(g),
        reader_(g.logits.const_data_ptr<T>(), call.layout, call.mask_data(), call.mask_layout),
        result_layout_(g.result, call.axis),
        writer_(g.result.mutable_data_ptr<T>(), result_layout_),
        grads_(g.grad.const_data_ptr<T>()),
        index_(g.index.const_data_ptr<int64_t>()),
        index_per_sample_(g.index.numel() > call.N) {
    const bool leading = g.has_sample_dimension();
    grad_layout_ = leading ? RowLayout(g.grad, call.axis + 1, 1) : RowLayout(g.grad, call.axis);
    grad_step_ = leading ? g.grad.stride(0) : 0;
  }

  void in_lanes() {
    const int64_t K = call_.K, size = K * kLanes, blocks = (call_.N + kLanes - 1) / kLanes;
    at::parallel_for(0, blocks, call_.grain(kLanes), [&](int64_t begin, int64_t end) {
      const Buffer<float> memory((5 + g_.scratch_rows) * size);
      RowBlock b = call_.block();
      float* logits = memory.data();
      float* grad = logits + size;
      float* sum = grad + size;
      float* rows = sum + size;
      b.out = rows + size;
      b.scratch = b.out + size;
      b.logits = logits;
      b.grad = grad;
      for (int64_t block = begin; block < end; ++block) {
        const int64_t n = block * kLanes;
        const int count = rows_of_block(block, call_.N);
        reader_.lanes(n, count, logits, rows);
        for (int64_t s = 0; s < g_.samples; ++s) {
          grad_reader(s).lanes(n, count, grad, rows);
          block_of_rows(b, n, count, s);
          if (g_.samples > 1) accumulate(b.out, sum, size, s > 0);
        }
        writer_.lanes(n, count, g_.samples > 1 ? sum : b.out, rows);
      }
    });
  }

  void along_vector() {
    const int64_t K = call_.K;
    over_rows(call_.N, K, call_.grain(1), [&](int64_t begin, int64_t end, RunBlocks run) {
      const Buffer<float> memory((4 + g_.scratch_rows) * K);
      const Buffer<double> totals(K / 64 + 1);
      RowBlock b = call_.block();
      b.run = run;
      b.totals = totals.data();
      float* copy = memory.data();
      b.scratch = memory.data() + 4 * K;
      for (int64_t n = begin; n < end; ++n) {
        b.logits = reader_.row(n, copy);
        float* sum = writer_.row(n, copy + K);
        for (int64_t s = 0; s < g_.samples; ++s) {
          b.grad = grad_reader(s).row(n, copy + 2 * K);
          b.out = g_.samples > 1 ? copy + 3 * K : sum;
          const uint32_t invalid = call_.begin_block(b, n, 1, s);
          const int64_t code = code_of(b.logits, 1, s, n, invalid != 0);
          if (code >= 0) {
            b.index[0] = code;
            kernels().backward_vector[g_.method](b);
          } else {
            std::fill_n(b.out, K, value_without(code));
          }
          if (g_.samples > 1) accumulate(b.out, sum, K, s > 0);
        }
        writer_.finish(n, sum);
      }
    });
  }

  void scalar() {
    const int64_t K = call_.K;
    at::parallel_for(0, call_.N, call_.grain(g_.scratch_rows), [&](int64_t begin, int64_t end) {
      const Buffer<double> memory((4 + g_.scratch_rows) * K);
      double* copy = memory.data();
      for (int64_t n = begin; n < end; ++n) {
        const double* logits = reader_.row(n, copy);
        double* sum = writer_.row(n, copy + K);
        double f, b;
        const bool valid = call_.temperatures(n, &f, &b);
        for (int64_t s = 0; s < g_.samples; ++s) {
          double* out = g_.samples > 1 ? copy + 3 * K : sum;
          const int64_t code = code_of(logits, 1, s, n, !valid);
          if (code >= 0) {
            const math::Row<DoubleTile> row{
                logits,
                grad_reader(s).row(n, copy + 2 * K),
                out,
                copy + 4 * K,
                K,
                code,
                call_.given,
                {call_.seed, call_.offset + static_cast<uint64_t>(s) * call_.facts.offsets,
                 call_.row0 + static_cast<uint64_t>(n)},
                math::Temperatures<DoubleTile>::of(f, b)};
            g_.rule(row, call_.params, call_.uniform_mix);
          } else {
            std::fill_n(out, K, static_cast<double>(value_without(code)));
          }
          if (g_.samples > 1) accumulate(out, sum, K, s > 0);
        }
        writer_.finish(n, sum);
      }
    });
  }

 private:
  RowReader<T> grad_reader(int64_t s) const { return {grads_ + s * grad_step_, grad_layout_}; }

  /// The category of row n in sample s, or why there is none.
  template <class Real>
  int64_t code_of(const Real* logits, int64_t step, int64_t s, int64_t n, bool invalid) const {
    const int64_t index = index_[index_per_sample_ ? s * call_.N + n : n];
    const Real maximum = invalid ? std::numeric_limits<Real>::quiet_NaN() : Real(0);
    if (call_.given) return accept_given(index, call_.K, maximum, logits, step);
    return invalid ? math::kInvalid : accept_drawn(index, call_.K, logits, step);
  }

  /// The gradient of a row without a sample.
  static float value_without(int64_t code) {
    return code == math::kInvalid ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
  }

  /// Copies the indices of a full block; false if one of them is not a category.
  bool indices_of_block(RowBlock& b, int64_t n, int64_t s) const {
    const int64_t* index = index_ + (index_per_sample_ ? s * call_.N + n : n);
    bool inside = true;
    for (int i = 0; i < kLanes; ++i) {
      inside &= static_cast<uint64_t>(index[i]) < static_cast<uint64_t>(call_.K);
      b.index[i] = index[i];
    }
    return inside;
  }

  void block_of_rows(RowBlock& b, int64_t n, int count, int64_t s) const {
    const uint32_t invalid = call_.begin_block(b, n, count, s);
    if (count == kLanes && invalid == 0 && !call_.given && indices_of_block(b, n, s)) {
      return kernels().backward_lanes[g_.method](b);
    }
    int64_t code[kLanes];
    bool all = true;
    for (int i = 0; i < kLanes; ++i) {
      const int row = std::min(i, count - 1);
      code[i] = code_of(b.logits + row, kLanes, s, n + row, (invalid >> row & 1) != 0);
      all = all && code[i] >= 0;
      b.index[i] = std::max<int64_t>(code[i], 0);
    }
    kernels().backward_lanes[g_.method](b);
    if (all) return;
    for (int i = 0; i < count; ++i) {
      if (code[i] >= 0) continue;
      for (int64_t k = 0; k < call_.K; ++k) b.out[k * kLanes + i] = value_without(code[i]);
    }
  }

  template <class Real>
  static void accumulate(const Real* out, Real* sum, int64_t size, bool add) {
    for (int64_t i = 0; i < size; ++i) sum[i] = add ? sum[i] + out[i] : out[i];
  }

  const CategoricalCall& call_;
  const Gradients& g_;
  RowReader<T> reader_;
  RowLayout result_layout_, grad_layout_;
  RowWriter<T> writer_;
  const T* grads_;
  const int64_t* index_;
  bool index_per_sample_;
  int64_t grad_step_;
};

void run_backward(const CategoricalCall& call, const Gradients& g) {
  if (call.N == 0) return;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, g.logits.scalar_type(),
                                  "gradthru::backward", [&] {
                                    Backward<scalar_t> run(call, g);
                                    if (call.path == Path::lanes) run.in_lanes();
                                    if (call.path == Path::vector) run.along_vector();
                                    if (call.path == Path::scalar) run.scalar();
                                  });
}

template <class Entry, size_t position>
Tensor backward(const Tensor& grad, const Tensor& logits, const Tensor& index,
                const std::optional<Tensor>& mask, const std::optional<Tensor>& tau_f,
                const std::optional<Tensor>& tau_b, at::ArrayRef<double> numbers,
                double uniform_mix, int64_t seed, int64_t offset, int64_t row0, int64_t dim,
                bool given) {
  using Rule = typename Entry::Rule;
  const CategoricalCall call(
      logits, Options{mask, tau_f, tau_b, numbers, uniform_mix, seed, offset, row0, dim},
      Entry::kName, given, math::is_sequential<Rule>(), "backward");
  const int64_t samples = grad.dim() > logits.dim() ? grad.size(0) : 1;
  TORCH_CHECK_VALUE(grad.numel() == samples * logits.numel() &&
                        grad.scalar_type() == logits.scalar_type() &&
                        (index.numel() == call.N || index.numel() == samples * call.N),
                    Entry::kName, "_backward: grad and index must have the sizes of the sample");
  const Gradients g{
      grad,    logits,   index.contiguous(), at::empty(logits.sizes(), logits.options()),
      samples, position, &row_rule<Rule>,    math::scratch_rows<Rule>(call.K) + 1};
  run_backward(call, g);
  return g.result;
}

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
#define GRADTHRU_ESTIMATOR(name, ...) \
  m.impl(#name "_backward",           \
         &backward<math::name##_entry, static_cast<size_t>(math::MethodPosition::name)>);
#include "gradthru/estimators.def"
}

}  // namespace
}  // namespace gradthru::cpu
