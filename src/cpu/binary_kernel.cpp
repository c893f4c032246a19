// CPU driver of the binary (sigmoid) forms: every element is a variable of its own.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "cpu/row_access.h"
#include "math/binary_mixture.h"
#include "math/registry.h"

namespace gradthru::cpu {
namespace {

using at::Tensor;
using math::Params;

constexpr int64_t kGrain = 8192;
constexpr int64_t kChunk = 2048;  // elements converted at a time

/// The two values of a coding.
struct Values {
  double off, on;
  explicit Values(bool plus_minus_one) : off(plus_minus_one ? -1 : 0), on(1) {}
  double threshold() const { return (off + on) / 2; }
  double span() const { return on - off; }
};

/// Everything a driver knows of one call.
struct BinaryCall {
  Params params;
  math::MethodFacts facts;
  Values values;
  bool given;
  double uniform_mix;
  uint64_t seed, offset, row0;
  Tensor tau_f, tau_b;  ///< of every element, in the precision of the arithmetic, or undefined
  int64_t N;

  BinaryCall(const Tensor& logits, const std::optional<Tensor>& row_tau_f,
             const std::optional<Tensor>& row_tau_b, std::string_view method,
             at::ArrayRef<double> numbers, double mix, int64_t stream_seed, int64_t stream_offset,
             int64_t stream_row0, bool plus_minus_one, bool is_given)
      : values(plus_minus_one),
        given(is_given),
        uniform_mix(mix),
        seed(static_cast<uint64_t>(stream_seed)),
        offset(static_cast<uint64_t>(stream_offset)),
        row0(static_cast<uint64_t>(stream_row0)),
        N(logits.numel()) {
    TORCH_CHECK_VALUE(numbers.size() >= Params::count, method, ": params of the wrong length");
    params = Params::from(numbers.data(), static_cast<int64_t>(numbers.size()));
    facts = math::facts_of(method, params, given);
    TORCH_CHECK_VALUE(!facts.name.empty(), "sample_binary: unknown method '", method, "'");
    TORCH_CHECK_VALUE(facts.accepts(numbers.size(), 2), method, ": params of the wrong length");
    const auto type = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const auto per_element = [&](const std::optional<Tensor>& tau, double& scalar) {
      if (!tau) return Tensor();
      scalar = std::numeric_limits<double>::quiet_NaN();  // no constant may be relied upon
      return tau->to(type).expand(logits.sizes()).contiguous();
    };
    tau_f = per_element(row_tau_f, params.tau_f);
    tau_b = per_element(row_tau_b, params.tau_b);
  }

  bool untempered() const { return facts.draw != math::Draw::uniform && params.scaled_sum(); }
  bool relaxed() const { return params.hard == 0 && facts.draw == math::Draw::gumbel; }
  uint64_t offset_of(int64_t s) const { return offset + static_cast<uint64_t>(s) * facts.offsets; }
};

/// One element in double: what the vector kernels do sixteen at a time.
class ScalarElement {
 public:
  using Tile = math::ScalarTile<double>;

  ScalarElement(const BinaryCall& call, int64_t n, int64_t s) : call_(call) {
    const uint64_t element = call.row0 + static_cast<uint64_t>(n);
    stream_ = {call.seed, call.offset_of(s), element >> 32};
    column_ = static_cast<int64_t>(element & 0xffffffff);
    const auto entry = [&](const Tensor& tau, double constant) {
      if (!tau.defined()) return constant;
      const double value = tau.const_data_ptr<double>()[n];
      return value > 0 && std::isfinite(value) ? value : std::numeric_limits<double>::quiet_NaN();
    };
    tau_f_ = entry(call.tau_f, call.params.tau_f);
    tau_b_ = entry(call.tau_b, call.params.tau_b);
  }

  /// The sample as 1 or 0: drawn, or *given.
  double draw(double logit, const double* given) const {
    const double check = logit + 0 * (tau_f_ + tau_b_);
    if (std::isnan(check)) return check;
    if (given != nullptr) return *given > call_.values.threshold() ? 1 : 0;
    const bool untempered = call_.untempered();
    return math::draw_binary(tile_, logit, untempered ? 1 : math::inverse<double>(tau_f_),
                             tau_f_ == 0 && !untempered, call_.uniform_mix, stream_, column_);
  }

  double relax(double logit, double on) const {
    return math::gumbel_softmax::binary_forward(tile_, element(logit, on, 0), call_.params);
  }

  template <class Rule>
  double backward(double logit, double on, double grad) const {
    const auto e = element(logit, on, grad);
    const double gradient = call_.uniform_mix == 0 ? Rule::binary(tile_, e, call_.params)
                                                   : math::mixed_binary<Rule>(
                                                         tile_, e, call_.params, call_.uniform_mix);
    return gradient + 0 * (tau_f_ + tau_b_);
  }

 private:
  math::Element<Tile> element(double logit, double on, double grad) const {
    return {logit,
            on,
            grad,
            call_.given,
            stream_,
            column_,
            math::Temperatures<Tile>::of(tau_f_, tau_b_)};
  }

  const BinaryCall& call_;
  Tile tile_;
  Tile::Stream stream_;
  int64_t column_;
  double tau_f_, tau_b_;
};

/// Elements [begin, end) of a sample, at most kChunk, as floats.
struct Chunk {
  float logits[kChunk], grad[kChunk], on[kChunk], out[kChunk];

  ElementSpan span(const BinaryCall& call, int64_t s, int64_t begin, int64_t end) {
    ElementSpan span{};
    span.logits = logits;
    span.grad = grad;
    span.on = on;
    span.out = out;
    const auto entries = [&](const Tensor& tau) {
      return tau.defined() ? tau.const_data_ptr<float>() + begin : nullptr;
    };
    span.tau_f = entries(call.tau_f);
    span.tau_b = entries(call.tau_b);
    span.first = span.begin = call.row0 + static_cast<uint64_t>(begin);
    span.end = call.row0 + static_cast<uint64_t>(end);
    span.seed = call.seed;
    span.offset = call.offset_of(s);
    span.params = &call.params;
    span.uniform_mix = call.uniform_mix;
    span.untempered = call.untempered();
    span.given = call.given;
    return span;
  }
};

/// Calls work(begin, end) on pieces of at most kChunk elements.
template <class Work>
void in_chunks(int64_t begin, int64_t end, const Work& work) {
  for (; begin < end; begin += kChunk) work(begin, std::min(begin + kChunk, end));
}

template <class T>
void sample_elements(const BinaryCall& call, const T* in, const T* replay, int64_t replay_count,
                     T* out, int64_t samples) {
  const auto off = static_cast<float>(call.values.off),
             span = static_cast<float>(call.values.span());
  const auto threshold = static_cast<float>(call.values.threshold());
  for (int64_t s = 0; s < samples; ++s) {
    at::parallel_for(0, call.N, kGrain, [&](int64_t first, int64_t last) {
      Chunk chunk;
      in_chunks(first, last, [&](int64_t begin, int64_t end) {
        const int64_t count = end - begin;
        Storage<T>::read(in + begin, 1, count, chunk.logits);
        ElementSpan elements = chunk.span(call, s, begin, end);
        if (replay != nullptr) {
          const T* values = replay + (replay_count == call.N ? 0 : s * call.N) + begin;
          Storage<T>::read(values, 1, count, chunk.on);
          for (int64_t i = 0; i < count; ++i) chunk.on[i] = chunk.on[i] > threshold ? 1.0f : 0.0f;
        }
        kernels().sample_binary(elements);
        if (call.relaxed()) {
          std::copy_n(chunk.out, count, chunk.on);
          kernels().relax_binary(elements);
        }
        for (int64_t i = 0; i < count; ++i) chunk.out[i] = off + span * chunk.out[i];
        Storage<T>::write(chunk.out, out + s * call.N + begin, 1, count);
      });
    });
  }
}

void sample_elements(const BinaryCall& call, const double* in, const double* replay,
                     int64_t replay_count, double* out, int64_t samples) {
  at::parallel_for(0, call.N * samples, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i % call.N;
      const ScalarElement element(call, n, i / call.N);
      double b = element.draw(in[n], replay != nullptr ? replay + i % replay_count : nullptr);
      if (call.relaxed()) b = element.relax(in[n], b);
      out[i] = call.values.off + call.values.span() * b;
    }
  });
}

Tensor sample_binary(const Tensor& logits, const std::optional<Tensor>& given,
                     const std::optional<Tensor>& tau_f, const std::optional<Tensor>& tau_b,
                     std::string_view method, at::ArrayRef<double> numbers, double uniform_mix,
                     int64_t seed, int64_t offset, int64_t row0, bool plus_minus_one,
                     std::optional<int64_t> samples) {
  const BinaryCall call(logits, tau_f, tau_b, method, numbers, uniform_mix, seed, offset, row0,
                        plus_minus_one, given.has_value());
  // The operator checks its arguments in words; inference mode reaches this kernel without it.
  TORCH_CHECK_VALUE(
      !given || given->numel() == call.N || given->numel() == call.N * samples.value_or(1),
      "sample_binary: given of the wrong size");
  const Tensor dense = logits.contiguous();
  std::vector<int64_t> shape = logits.sizes().vec();
  if (samples) shape.insert(shape.begin(), *samples);
  Tensor result = at::empty(shape, dense.options());
  if (call.N == 0) return result;
  const Tensor dense_given = given ? given->contiguous() : Tensor();
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, dense.scalar_type(), "gradthru::sample_binary", [&] {
        const auto* in = dense.const_data_ptr<scalar_t>();
        const scalar_t* replay = given ? dense_given.const_data_ptr<scalar_t>() : nullptr;
        const int64_t replay_count = given ? dense_given.numel() : 1;
        auto* out = result.mutable_data_ptr<scalar_t>();
        sample_elements(call, in, replay, replay_count, out, samples.value_or(1));
      });
  return result;
}

template <class T>
void backward_floats(const BinaryCall& call, size_t method, const T* grad, const T* in,
                     const T* drawn, T* out, int64_t samples) {
  const auto span = static_cast<float>(call.values.span());
  const auto threshold = static_cast<float>(call.values.threshold());
  at::parallel_for(0, call.N, kGrain, [&](int64_t first, int64_t last) {
    Chunk chunk;
    float sum[kChunk];
    in_chunks(first, last, [&](int64_t begin, int64_t end) {
      const int64_t count = end - begin;
      Storage<T>::read(in + begin, 1, count, chunk.logits);
      for (int64_t s = 0; s < samples; ++s) {
        Storage<T>::read(grad + s * call.N + begin, 1, count, chunk.grad);
        Storage<T>::read(drawn + s * call.N + begin, 1, count, chunk.on);
        for (int64_t i = 0; i < count; ++i) {
          chunk.grad[i] *= span;
          chunk.on[i] = chunk.on[i] > threshold ? 1.0f : 0.0f;
        }
        kernels().backward_binary[method](chunk.span(call, s, begin, end));
        for (int64_t i = 0; i < count; ++i) sum[i] = s > 0 ? sum[i] + chunk.out[i] : chunk.out[i];
      }
      Storage<T>::write(sum, out + begin, 1, count);
    });
  });
}

template <class Rule>
void backward_doubles(const BinaryCall& call, const double* grad, const double* in,
                      const double* drawn, double* out, int64_t samples) {
  at::parallel_for(0, call.N, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      double sum = 0;
      for (int64_t s = 0; s < samples; ++s) {
        const int64_t i = s * call.N + n;
        const double on = drawn[i] > call.values.threshold() ? 1 : 0;
        sum += ScalarElement(call, n, s)
                   .template backward<Rule>(in[n], on, call.values.span() * grad[i]);
      }
      out[n] = sum;
    }
  });
}

template <class Entry, size_t position>
Tensor backward(const Tensor& grad, const Tensor& logits, const Tensor& sample,
                const std::optional<Tensor>& tau_f, const std::optional<Tensor>& tau_b,
                at::ArrayRef<double> numbers, double uniform_mix, int64_t seed, int64_t offset,
                int64_t row0, bool plus_minus_one, bool given) {
  const BinaryCall call(logits, tau_f, tau_b, Entry::kName, numbers, uniform_mix, seed, offset,
                        row0, plus_minus_one, given);
  const Tensor dense = logits.contiguous(), g = grad.contiguous();
  const int64_t samples = grad.dim() > logits.dim() ? grad.size(0) : 1;
  // A given sample may lack the dimension of the samples.
  const Tensor b = sample.expand(grad.sizes()).contiguous();
  TORCH_CHECK_VALUE(grad.numel() == samples * call.N && g.scalar_type() == dense.scalar_type() &&
                        b.scalar_type() == dense.scalar_type(),
                    Entry::kName, "_binary_backward: grad and sample must have the same sizes");
  Tensor result = at::empty(dense.sizes(), dense.options());
  if (call.N == 0) return result;
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, dense.scalar_type(), "gradthru::binary_backward", [&] {
        const auto* grads = g.const_data_ptr<scalar_t>();
        const auto* in = dense.const_data_ptr<scalar_t>();
        const auto* drawn = b.const_data_ptr<scalar_t>();
        auto* out = result.mutable_data_ptr<scalar_t>();
        if constexpr (std::is_same_v<scalar_t, double>) {
          backward_doubles<typename Entry::Rule>(call, grads, in, drawn, out, samples);
        } else {
          backward_floats(call, position, grads, in, drawn, out, samples);
        }
      });
  return result;
}

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
  m.impl("sample_binary", &sample_binary);
#define GRADTHRU_ESTIMATOR(name, ...) \
  m.impl(#name "_binary_backward",    \
         &backward<math::name##_entry, static_cast<size_t>(math::MethodPosition::name)>);
#include "gradthru/estimators.def"
}

}  // namespace
}  // namespace gradthru::cpu
