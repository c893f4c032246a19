// CPU driver of the categorical draw: dtypes, memory layout, threads. The formulas are in src/math;
// this file only brings rows to them.
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <vector>

#include "cpu/categorical_call.h"
#include "math/mixture.h"

namespace gradthru::cpu {
namespace {

/// Where the results go, and given indices come from.
struct Samples {
  Tensor value;  ///< undefined if only the index is wanted
  Tensor index;
  std::optional<Tensor> given;
  int64_t count;  ///< S
};

template <class T>
class Sampling {
 public:
  Sampling(const CategoricalCall& call, const Tensor& logits, Samples& samples)
      : call_(call),
        samples_(samples),
        reader_(logits.const_data_ptr<T>(), call.layout, call.mask_data(), call.mask_layout),
        value_(samples.value.defined() ? samples.value.mutable_data_ptr<T>() : nullptr),
        index_(samples.index.mutable_data_ptr<int64_t>()),
        given_(samples.given ? samples.given->const_data_ptr<int64_t>() : nullptr),
        given_per_sample_(samples.given && samples.given->numel() > call.N),
        relaxed_(value_ != nullptr && call.params.hard == 0 &&
                 call.facts.draw == math::Draw::gumbel) {
    if (value_ == nullptr) return;
    const Tensor first =
        samples.value.dim() > logits.dim() ? samples.value.select(0, 0) : samples.value;
    value_layout_ = RowLayout(first, call.axis);
  }

  void in_lanes() {
    const int64_t K = call_.K, blocks = (call_.N + kLanes - 1) / kLanes;
    at::parallel_for(0, blocks * samples_.count, call_.grain(kLanes),
                     [&](int64_t begin, int64_t end) {
                       const Buffer<float> memory(6 * K * kLanes);
                       RowBlock b = call_.block();
                       float* logits = memory.data();
                       b.logits = b.grad = logits;
                       b.out = logits + K * kLanes;
                       b.scratch = b.out + K * kLanes;  // three rows
                       float* rows = b.scratch + 3 * K * kLanes;
                       int64_t in_lanes = -1;
                       for (int64_t i = begin; i < end; ++i) {
                         const int64_t block = i % blocks, n = block * kLanes;
                         const int count = rows_of_block(block, call_.N);
                         if (block != in_lanes) reader_.lanes(n, count, logits, rows);
                         in_lanes = block;
                         draw_block(b, i / blocks, n, count, rows);
                       }
                     });
  }

  void along_vector() {
    const int64_t K = call_.K;
    over_rows(call_.N * samples_.count, K, call_.grain(1),
              [&](int64_t begin, int64_t end, RunBlocks run) {
                const Buffer<float> memory(5 * K);
                const Buffer<double> totals(K / 64 + 1);
                RowBlock b = call_.block();
                b.run = run;
                b.totals = totals.data();
                b.scratch = memory.data();  // three rows
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t s = i / call_.N, n = i % call_.N;
                  b.logits = b.grad = reader_.row(n, memory.data() + 3 * K);
                  b.out = memory.data() + 4 * K;
                  const uint32_t invalid = call_.begin_block(b, n, 1, s);
                  kernels().sample_vector(sampler(), b);
                  const int64_t code = code_of(b, 0, s, n, 1, invalid != 0);
                  if (relaxed_ && code >= 0) {
                    b.index[0] = code;
                    kernels().relax_vector(b);
                    writer(s).finish(n, b.out);
                    index_[i] = code;
                  } else {
                    write(s, n, code);
                  }
                }
              });
  }

  /// In double, one row after the other.
  void scalar() {
    using Tile = math::ScalarTile<double>;
    const int64_t K = call_.K;
    at::parallel_for(0, call_.N * samples_.count, call_.grain(1), [&](int64_t begin, int64_t end) {
      const Tile t;
      const Buffer<double> memory(5 * K);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t s = i / call_.N, n = i % call_.N;
        const double* logits = reader_.row(n, memory.data() + 3 * K);
        double f, b;
        const bool valid = call_.temperatures(n, &f, &b);
        const Tile::Stream stream{call_.seed,
                                  call_.offset + static_cast<uint64_t>(s) * call_.facts.offsets,
                                  call_.row0 + static_cast<uint64_t>(n)};
        const auto drawn = draw(t, logits, f, stream, memory.data());
        const double maximum = valid ? drawn.maximum : std::numeric_limits<double>::quiet_NaN();
        const int64_t code = call_.given ? accept_given(given_at(s, n), K, maximum, logits, 1)
                                         : validated(maximum, drawn.index);
        if (relaxed_ && code >= 0) {
          double* out = memory.data() + 4 * K;
          math::gumbel_softmax::forward(
              t,
              math::Row<Tile>{logits, logits, out, memory.data(), K, code, call_.given, stream,
                              math::Temperatures<Tile>::of(f, b)},
              call_.params);
          writer(s).finish(n, out);
          index_[i] = code;
        } else {
          write(s, n, code);
        }
      }
    });
  }

 private:
  static int64_t validated(double maximum, int64_t index) {
    if (std::isnan(maximum)) return math::kInvalid;
    return std::isinf(maximum) ? math::kEmpty : index;
  }

  /// A given index takes no draw, but the row must be looked at.
  Sampler sampler() const { return call_.given ? Sampler::argmax : call_.sampler(); }

  math::Drawn<math::ScalarTile<double>> draw(const math::ScalarTile<double>& t,
                                             const double* logits, double tau_f,
                                             const math::ScalarTile<double>::Stream& stream,
                                             double* scratch) const {
    const double inv_tau = call_.inverse_law<double>(tau_f);
    switch (sampler()) {
      case Sampler::mixed:
        return math::mixed_inverse_cdf(t, logits, inv_tau, call_.uniform_mix, stream, call_.K);
      case Sampler::mixed_argmax:
        return math::mixed_argmax(t, logits, call_.uniform_mix, stream, call_.K);
      case Sampler::gumbel_race:
        return math::gumbel_argmax(t, logits, inv_tau, stream, scratch, call_.K);
      case Sampler::argmax:
        return math::argmax(t, logits, call_.K);
      case Sampler::inverse_cdf:
        break;
    }
    return math::inverse_cdf(t, logits, inv_tau, stream, call_.K);
  }

  void draw_block(RowBlock& b, int64_t s, int64_t n, int count, float* rows) {
    const uint32_t invalid = call_.begin_block(b, n, count, s);
    kernels().sample_lanes(sampler(), b);
    if (!relaxed_ && !call_.given && invalid == 0 && every_row_drawn(b)) {
      std::copy_n(b.index, count, index_ + s * call_.N + n);
      if (value_ != nullptr) writer(s).onehots(n, count, b.index);
      return;
    }
    int64_t code[kLanes];
    for (int i = 0; i < count; ++i) {
      code[i] = code_of(b, i, s, n + i, kLanes, (invalid >> i & 1) != 0);
    }
    if (relaxed_) {
      for (int i = 0; i < kLanes; ++i) {
        b.index[i] = std::max<int64_t>(code[std::min(i, count - 1)], 0);
      }
      kernels().relax_lanes(b);
      writer(s).lanes(n, count, b.out, rows);
    }
    for (int i = 0; i < count; ++i) {
      if (relaxed_ && code[i] >= 0) {
        index_[s * call_.N + n + i] = code[i];
      } else {
        write(s, n + i, code[i]);
      }
    }
  }

  static bool every_row_drawn(const RowBlock& b) {
    bool finite = true;
    for (int i = 0; i < kLanes; ++i) finite &= std::abs(b.maximum[i]) <= kLargest;
    return finite;
  }

  int64_t given_at(int64_t s, int64_t n) const {
    return given_[given_per_sample_ ? s * call_.N + n : n];
  }

  /// The category of row n in sample s, which stands in lane `lane`, or why there is none.
  int64_t code_of(const RowBlock& b, int lane, int64_t s, int64_t n, int64_t step,
                  bool invalid) const {
    const float maximum = invalid ? std::numeric_limits<float>::quiet_NaN() : b.maximum[lane];
    if (call_.given) {
      return accept_given(given_at(s, n), call_.K, maximum, b.logits + lane, step);
    }
    return validated(maximum, b.index[lane]);
  }

  RowWriter<T> writer(int64_t s) const { return {value_ + s * call_.N * call_.K, value_layout_}; }

  void write(int64_t s, int64_t n, int64_t code) {
    if (value_ == nullptr) {
      index_[s * call_.N + n] = code;
      return;
    }
    const bool invalid = code == math::kInvalid;
    writer(s).onehot(n, invalid ? std::numeric_limits<T>::quiet_NaN() : T(0), code);
    // An invalid row keeps its NaN, but both read -1 in the index that the caller sees.
    index_[s * call_.N + n] = std::max<int64_t>(code, -1);
  }

  static constexpr float kLargest = std::numeric_limits<float>::max();

  const CategoricalCall& call_;
  Samples& samples_;
  RowReader<T> reader_;
  RowLayout value_layout_;
  T* value_;
  int64_t* index_;
  const int64_t* given_;
  bool given_per_sample_;
  bool relaxed_;
};

Samples draw(const Tensor& logits, const std::optional<Tensor>& given, const Options& options,
             std::string_view method, std::optional<int64_t> count, bool with_value) {
  const CategoricalCall call(logits, options, method, given.has_value(), false, "sample");
  // The operator checks its arguments in words; inference mode reaches this kernel without it.
  TORCH_CHECK_VALUE(
      !given || given->numel() == call.N || given->numel() == call.N * count.value_or(1),
      "sample: index of the wrong size");
  std::vector<int64_t> value_shape = logits.sizes().vec(), index_shape = logits.sizes().vec();
  index_shape.erase(index_shape.begin() + call.axis);
  if (count) {
    value_shape.insert(value_shape.begin(), *count);
    index_shape.insert(index_shape.begin(), *count);
  }
  Samples samples{with_value ? at::empty(value_shape, logits.options()) : Tensor(),
                  at::empty(index_shape, logits.options().dtype(at::kLong)),
                  given ? std::optional(given->contiguous()) : std::nullopt, count.value_or(1)};
  if (call.N == 0) return samples;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, logits.scalar_type(),
                                  "gradthru::sample", [&] {
                                    Sampling<scalar_t> sampling(call, logits, samples);
                                    if (call.path == Path::lanes) sampling.in_lanes();
                                    if (call.path == Path::vector) sampling.along_vector();
                                    if (call.path == Path::scalar) sampling.scalar();
                                  });
  return samples;
}

std::tuple<Tensor, Tensor> sample(const Tensor& logits, const std::optional<Tensor>& given,
                                  const std::optional<Tensor>& mask,
                                  const std::optional<Tensor>& tau_f,
                                  const std::optional<Tensor>& tau_b, std::string_view method,
                                  at::ArrayRef<double> numbers, double uniform_mix, int64_t seed,
                                  int64_t offset, int64_t row0, int64_t dim,
                                  std::optional<int64_t> count) {
  const Options options{mask, tau_f, tau_b, numbers, uniform_mix, seed, offset, row0, dim};
  const Samples drawn = draw(logits, given, options, method, count, true);
  return {drawn.value, drawn.index};
}

Tensor sample_index(const Tensor& logits, const std::optional<Tensor>& given,
                    const std::optional<Tensor>& mask, const std::optional<Tensor>& tau_f,
                    const std::optional<Tensor>& tau_b, std::string_view method,
                    at::ArrayRef<double> numbers, double uniform_mix, int64_t seed, int64_t offset,
                    int64_t row0, int64_t dim, std::optional<int64_t> count) {
  const Options options{mask, tau_f, tau_b, numbers, uniform_mix, seed, offset, row0, dim};
  return draw(logits, given, options, method, count, false).index;
}

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
  m.impl("sample", &sample);
  m.impl("sample_index", &sample_index);
}

}  // namespace
}  // namespace gradthru::cpu
