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

#include "math/registry.h"

namespace gradthru {
namespace {

using at::Tensor;
using math::Params;

constexpr int64_t kGrain = 8192;

/// Element e of the stream's numbering has row e div 2^32 and column e mod 2^32.
template <class T>
struct Cell {
  typename math::ScalarTile<T>::Stream stream;
  int64_t column;

  Cell(int64_t seed, uint64_t offset, int64_t element)
      : stream{static_cast<uint64_t>(seed), offset, static_cast<uint64_t>(element) >> 32},
        column(element & 0xffffffff) {}
};

/// The two values of a coding.
struct Values {
  double off, on;
  explicit Values(bool plus_minus_one) : off(plus_minus_one ? -1 : 0), on(1) {}
  double threshold() const { return (off + on) / 2; }
  double span() const { return on - off; }
};

template <class T>
T draw_element(const math::ScalarTile<T>& t, const math::MethodFacts& facts, const Params& p,
               T logit, const Cell<T>& cell) {
  if (std::isnan(logit)) return logit;
  const bool untempered = facts.draw != math::Draw::uniform && p.scaled_sum();
  if (p.tau_f == 0 && !untempered) return logit >= 0 ? T{1} : T{0};
  const T scaled = untempered ? logit : logit * static_cast<T>(math::inverse<T>(p.tau_f));
  T log_v, log_1mv;
  t.logistic_pair(cell.stream, cell.column, &log_v, &log_1mv);
  return scaled + (log_v - log_1mv) > 0 ? T{1} : T{0};
}

Tensor sample_binary_cpu(const Tensor& logits, const std::optional<Tensor>& given,
                         std::string_view method, at::ArrayRef<double> numbers, int64_t seed,
                         int64_t offset, int64_t row0, bool plus_minus_one,
                         std::optional<int64_t> samples) {
  TORCH_CHECK_VALUE(numbers.size() >= Params::count, "sample_binary: params of the wrong length");
  const Params p = Params::from(numbers.data(), static_cast<int64_t>(numbers.size()));
  const auto facts = math::facts_of(method, p, given.has_value());
  TORCH_CHECK_VALUE(!facts.name.empty(), "sample_binary: unknown method '", method, "'");
  TORCH_CHECK_VALUE(facts.accepts(numbers.size(), 2), "sample_binary: params of the wrong length");
  // The operator checks its arguments in words; inference mode reaches this kernel without it.
  TORCH_CHECK_VALUE(!given || given->numel() == logits.numel() ||
                        given->numel() == logits.numel() * samples.value_or(1),
                    "sample_binary: given of the wrong size");
  const Values values(plus_minus_one);
  const Tensor dense = logits.contiguous();
  std::vector<int64_t> shape = logits.sizes().vec();
  if (samples) shape.insert(shape.begin(), *samples);
  Tensor result = at::empty(shape, dense.options());
  const Tensor dense_given = given ? given->contiguous() : Tensor();
  const bool relaxed = p.hard == 0 && facts.draw == math::Draw::gumbel;
  const int64_t N = dense.numel();
  AT_DISPATCH_FLOATING_TYPES(dense.scalar_type(), "gradthru::sample_binary", [&] {
    const scalar_t* in = dense.const_data_ptr<scalar_t>();
    const scalar_t* replay = given ? dense_given.const_data_ptr<scalar_t>() : nullptr;
    const int64_t replay_count = given ? dense_given.numel() : 1;
    scalar_t* out = result.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, result.numel(), kGrain, [&](int64_t begin, int64_t end) {
      using Tile = math::ScalarTile<scalar_t>;
      const Tile t;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t n = i % N;
        const Cell<scalar_t> cell(seed, offset + i / N * facts.offsets, row0 + n);
        scalar_t b = replay ? scalar_t(replay[i % replay_count] > values.threshold())
                            : draw_element(t, facts, p, in[n], cell);
        if (relaxed) {
          b = math::gumbel_softmax::binary_forward(
              t,
              math::Element<Tile>{in[n], b, 0, replay != nullptr, cell.stream, cell.column,
                                  math::Temperatures<Tile>::of(p.tau_f, p.tau_b)},
              p);
        }
        out[i] = static_cast<scalar_t>(values.off + values.span() * b);
      }
    });
  });
  return result;
}

template <class Entry>
struct BinaryBackward {
  static Tensor call(const Tensor& grad, const Tensor& logits, const Tensor& sample,
                     at::ArrayRef<double> numbers, int64_t seed, int64_t offset, int64_t row0,
                     bool plus_minus_one, bool given) {
    TORCH_CHECK_VALUE(numbers.size() >= Params::count, Entry::kName,
                      ": params of the wrong length");
    const Params p = Params::from(numbers.data(), static_cast<int64_t>(numbers.size()));
    const auto facts = math::facts_of(Entry::kName, p, given);
    TORCH_CHECK_VALUE(facts.accepts(numbers.size(), 2), Entry::kName,
                      ": params of the wrong length");
    const Values values(plus_minus_one);
    const Tensor dense = logits.contiguous(), g = grad.contiguous(), b = sample.contiguous();
    Tensor result = at::empty(dense.sizes(), dense.options());
    const int64_t N = dense.numel();
    const int64_t samples = grad.dim() > logits.dim() ? grad.size(0) : 1;
    TORCH_CHECK_VALUE(grad.numel() == samples * N && sample.numel() == samples * N, Entry::kName,
                      "_binary_backward: grad and sample must have the same sizes");
    AT_DISPATCH_FLOATING_TYPES(dense.scalar_type(), "gradthru::binary_backward", [&] {
      const scalar_t* in = dense.const_data_ptr<scalar_t>();
      const scalar_t* grads = g.const_data_ptr<scalar_t>();
      const scalar_t* drawn = b.const_data_ptr<scalar_t>();
      scalar_t* out = result.mutable_data_ptr<scalar_t>();
      const auto span = static_cast<scalar_t>(values.span());
      at::parallel_for(0, N, kGrain, [&](int64_t begin, int64_t end) {
        using Tile = math::ScalarTile<scalar_t>;
        const Tile t;
        for (int64_t n = begin; n < end; ++n) {
          scalar_t sum = 0;
          for (int64_t s = 0; s < samples; ++s) {
            const Cell<scalar_t> cell(seed, offset + s * facts.offsets, row0 + n);
            const int64_t i = s * N + n;
            const auto on = scalar_t(drawn[i] > values.threshold());
            sum += Entry::Rule::binary(
                t,
                math::Element<Tile>{in[n], on, span * grads[i], given, cell.stream, cell.column,
                                    math::Temperatures<Tile>::of(p.tau_f, p.tau_b)},
                p);
          }
          out[n] = sum;
        }
      });
    });
    return result;
  }
};

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
  m.impl("sample_binary", &sample_binary_cpu);
#define GRADTHRU_ESTIMATOR(name, ...) \
  m.impl(#name "_binary_backward", &BinaryBackward<math::name##_entry>::call);
#include "gradthru/estimators.def"
}

}  // namespace
}  // namespace gradthru
