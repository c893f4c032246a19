#pragma once

#include <cstdint>

#include "cuda/call.h"
#include "math/binary_mixture.h"
#include "math/registry.h"

// One element of the binary (sigmoid) forms on a tile with an element per lane. No CUDA here, so
// the tests run it on the CPU.
namespace gradthru::cuda {

/// What both directions share: logits [N], everything else [samples, N] or [N].
template <class Real>
struct BinaryCall {
  int64_t N, samples;
  const Real* logits;
  math::Params params;
  RowTemperatures rows;
  double uniform_mix;  ///< 0 for none
  StreamStart stream;
  uint64_t offsets;  ///< of the random stream, used by one sample
  double off, on;    ///< the two values of the coding
};

/// Draws `value`; with `given` its elements are accepted instead.
template <class Real>
struct BinarySampleCall : BinaryCall<Real> {
  math::Draw draw;
  bool relaxed;
  const Real* given;  ///< null, or given_count of them: N, or samples * N
  int64_t given_count;
  Real* value;  ///< [samples, N]
};

/// The gradient for the logits, summed over the samples.
template <class Real>
struct BinaryBackwardCall : BinaryCall<Real> {
  const Real* grad;    ///< [samples, N]
  const Real* sample;  ///< [samples, N]
  bool given;
  Real* out;  ///< [N]
};

/// Element e = row0 + n of the stream's numbering has row e div 2^32 and column e mod 2^32.
template <class Tile>
GRADTHRU_HD math::Element<Tile> element_of(const BinaryCall<typename Tile::Real>& call, int64_t n,
                                           int64_t sample, typename Tile::Real on,
                                           typename Tile::Real grad, bool given) {
  const uint64_t number = call.stream.row0 + static_cast<uint64_t>(n);
  const uint64_t offset = call.stream.offset + static_cast<uint64_t>(sample) * call.offsets;
  return {call.logits[n],
          on,
          grad,
          given,
          {call.stream.seed, offset, number >> 32},
          static_cast<int64_t>(number & 0xffffffffu),
          temperatures<Tile>(call, n)};
}

/// The value, NaN in an element with a temperature that is none.
template <class Tile>
GRADTHRU_HD typename Tile::Real validated(const math::Element<Tile>& e, typename Tile::Real value) {
  const auto sum = e.tau.tau_f + e.tau.tau_b;
  return sum == sum ? value : sum;
}

template <class Tile>
GRADTHRU_HD void sample_element(const Tile& t, const BinarySampleCall<typename Tile::Real>& call,
                                int64_t n, int64_t sample) {
  using Real = typename Tile::Real;
  const bool given = call.given != nullptr;
  auto e = element_of<Tile>(call, n, sample, 0, 0, given);
  if (given) {
    const Real value = call.given[item_of(n, sample, call.N, call.given_count)];
    const Real on = value > (call.off + call.on) / 2 ? Real{1} : Real{0};
    e.on = e.logit == e.logit ? on : e.logit;
  } else {
    const bool untempered = is_untempered(call);
    const bool at_zero = !untempered && call.params.tau_f == 0;
    e.on = math::draw_binary(t, e.logit, untempered ? Real{1} : e.tau.inv_tau_f, at_zero,
                             call.uniform_mix, e.stream, e.column);
  }
  const Real b = call.relaxed ? math::gumbel_softmax::binary_forward(t, e, call.params) : e.on;
  call.value[sample * call.N + n] =
      validated(e, static_cast<Real>(call.off + (call.on - call.off) * b));
}

template <class Rule, class Tile>
GRADTHRU_HD void backward_element(const Tile& t,
                                  const BinaryBackwardCall<typename Tile::Real>& call, int64_t n) {
  using Real = typename Tile::Real;
  const auto span = static_cast<Real>(call.on - call.off);
  Real sum = 0;
  for (int64_t sample = 0; sample < call.samples; ++sample) {
    const int64_t item = sample * call.N + n;
    const Real on = call.sample[item] > (call.off + call.on) / 2 ? Real{1} : Real{0};
    const auto e = element_of<Tile>(call, n, sample, on, span * call.grad[item], call.given);
    const Real grad = call.uniform_mix > 0
                          ? math::mixed_binary<Rule>(t, e, call.params, call.uniform_mix)
                          : Rule::binary(t, e, call.params);
    sum = sum + validated(e, grad);
  }
  call.out[n] = sum;
}

}  // namespace gradthru::cuda
