#pragma once

#include <cstdint>

#include "cuda/call.h"
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
  StreamStart stream;
  uint64_t offsets;        ///< of the random stream, used by one sample
  double off, on;          ///< the two values of the coding
  math::Params inverse{};  ///< of the temperatures: from `prepared`, which the launchers call
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
          temperatures<Tile>(call)};
}

/// 1, 0 or, where the logit is, NaN.
template <class Tile>
GRADTHRU_HD typename Tile::Real draw_element(const Tile& t,
                                             const BinarySampleCall<typename Tile::Real>& call,
                                             const math::Element<Tile>& e) {
  using Real = typename Tile::Real;
  if (e.logit != e.logit) return e.logit;
  const bool untempered = call.draw != math::Draw::uniform && call.params.scaled_sum();
  if (call.params.tau_f == 0 && !untempered) return e.logit >= 0 ? Real{1} : Real{0};
  const Real scaled = untempered ? e.logit : e.logit * e.tau.inv_tau_f;
  Real log_v, log_1mv;
  t.logistic_pair(e.stream, e.column, &log_v, &log_1mv);
  return scaled + (log_v - log_1mv) > 0 ? Real{1} : Real{0};
}

template <class Tile>
GRADTHRU_HD void sample_element(const Tile& t, const BinarySampleCall<typename Tile::Real>& call,
                                int64_t n, int64_t sample) {
  using Real = typename Tile::Real;
  const int64_t item = sample * call.N + n;
  const bool given = call.given != nullptr;
  auto e = element_of<Tile>(call, n, sample, 0, 0, given);
  if (given) {
    const Real value = call.given[item_of(n, sample, call.N, call.given_count)];
    e.on = value > (call.off + call.on) / 2 ? Real{1} : Real{0};
  } else {
    e.on = draw_element(t, call, e);
  }
  const Real b = call.relaxed ? math::gumbel_softmax::binary_forward(t, e, call.params) : e.on;
  call.value[item] = static_cast<Real>(call.off + (call.on - call.off) * b);
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
    sum = sum + Rule::binary(t, e, call.params);
  }
  call.out[n] = sum;
}

}  // namespace gradthru::cuda
