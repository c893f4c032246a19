#pragma once

#include <cstdint>

#include "cuda/call.h"
#include "math/mixture.h"
#include "math/registry.h"

// One row of the categorical family on any tile: what a kernel does once it knows its row. No CUDA
// here, so the tests run it on the CPU.
namespace gradthru::cuda {

/// What both directions of a call share. Rows are contiguous: [N, K], or [samples, N, K].
template <class Real>
struct CategoricalCall {
  int64_t N, K, samples;
  const Real* logits;
  const bool* mask;  ///< null, or [N, K]: true = allowed
  math::Params params;
  RowTemperatures rows;
  double uniform_mix;  ///< 0 for none
  StreamStart stream;
  uint64_t offsets;  ///< of the random stream, used by one sample
};

/// Draws `value` (one-hot, or relaxed) and `index`; with `given` the indices are accepted instead.
template <class Real>
struct SampleCall : CategoricalCall<Real> {
  math::Draw draw;
  bool relaxed;
  const int64_t* given;  ///< null, or given_count of them: N, or samples * N
  int64_t given_count;
  Real* value;     ///< [samples, N, K]
  int64_t* index;  ///< [samples, N]
};

/// The gradient for the logits, summed over the samples.
template <class Real>
struct BackwardCall : CategoricalCall<Real> {
  const Real* grad;      ///< [samples, N, K]
  const int64_t* index;  ///< index_count of them: N, or samples * N
  int64_t index_count;
  bool given;
  Real* out;  ///< [N, K]
};

template <class Tile>
GRADTHRU_HD typename Tile::Stream row_stream(const StreamStart& start, uint64_t offsets, int64_t n,
                                             int64_t sample) {
  return {start.seed, start.offset + static_cast<uint64_t>(sample) * offsets,
          start.row0 + static_cast<uint64_t>(n)};
}

/// kInvalid or kEmpty for a row whose largest logit says so, else the index.
template <class Real>
GRADTHRU_HD int64_t index_or_state(Real maximum, int64_t index) {
  if (maximum != maximum) return math::kInvalid;
  return maximum == -std::numeric_limits<Real>::infinity() ? math::kEmpty : index;
}

/// Rows that a warp has in the workspace: scratch, then the logits under a mask.
template <class Real>
GRADTHRU_HD int64_t workspace_rows(const CategoricalCall<Real>& call, int64_t scratch_rows) {
  return scratch_rows + (call.mask == nullptr ? 0 : 1);
}

/// The logits of row n where it lies or, with a mask, in `copy`: -inf where the mask forbids.
template <class Tile>
GRADTHRU_HD const typename Tile::Real* allowed_row(const Tile& t,
                                                   const CategoricalCall<typename Tile::Real>& call,
                                                   int64_t n, typename Tile::Real* copy) {
  const auto* logits = call.logits + n * call.K;
  if (call.mask == nullptr) return logits;
  const bool* mask = call.mask + n * call.K;
  const auto lowest = t.set(-std::numeric_limits<double>::infinity());
  t.each(call.K,
         [&](auto k) { t.store(copy, k, t.select(t.flag(mask, k), t.load(logits, k), lowest)); });
  return copy;
}

/// False if an entry of a row's temperatures is none.
template <class Tile>
GRADTHRU_HD bool are_valid(const Tile& t, const math::Temperatures<Tile>& tau) {
  const auto sum = t.scalar_of(tau.tau_f + tau.tau_b);
  return sum == sum;
}

/// A drawn category, or kInvalid, kEmpty. `scratch` holds a row.
template <class Tile>
GRADTHRU_HD int64_t draw_index(const Tile& t, const SampleCall<typename Tile::Real>& call,
                               const math::Temperatures<Tile>& tau,
                               const typename Tile::Real* logits,
                               const typename Tile::Stream& stream, typename Tile::Real* scratch) {
  if (!are_valid(t, tau)) return math::kInvalid;
  const bool untempered = is_untempered(call);
  const bool at_zero = !untempered && call.params.tau_f == 0;
  const auto inv_tau = untempered ? t.set(1) : tau.inv_tau_f;
  const auto settled = [&](const math::Drawn<Tile>& drawn) {
    return index_or_state(t.scalar_of(drawn.maximum), drawn.index);
  };
  if (call.draw == math::Draw::gumbel) {
    return settled(math::gumbel_argmax(t, logits, inv_tau, stream, scratch, call.K));
  }
  if (call.uniform_mix > 0) {
    if (at_zero) {
      return settled(math::mixed_argmax(t, logits, call.uniform_mix, stream, call.K));
    }
    return settled(math::mixed_inverse_cdf(t, logits, inv_tau, call.uniform_mix, stream, call.K));
  }
  if (at_zero) return settled(math::argmax(t, logits, call.K));
  return settled(math::inverse_cdf(t, logits, inv_tau, stream, call.K));
}

/// A given category: -1 skips the row; what lies outside the row or has no probability is invalid,
/// as is everything in a row that is not `valid`.
template <class Tile>
GRADTHRU_HD int64_t accept_given(const Tile& t, const typename Tile::Real* logits, int64_t K,
                                 int64_t given, bool valid) {
  if (given == -1) return math::kEmpty;
  if (given < 0 || given >= K || !valid) return math::kInvalid;
  const auto logit = t.scalar_of(t.at(logits, given));
  return logit > -std::numeric_limits<typename Tile::Real>::infinity() ? given : math::kInvalid;
}

/// What a drawn index of -1 stands for is found in the row again: an invalid one or an empty one.
template <class Tile>
GRADTHRU_HD int64_t accept_drawn(const Tile& t, const typename Tile::Real* logits, int64_t K,
                                 int64_t drawn, bool valid) {
  if (!valid) return math::kInvalid;
  if (drawn >= 0) return drawn < K ? drawn : math::kInvalid;  // only a foreign index is beyond
  return index_or_state(t.scalar_of(math::row_maximum(t, logits, K)), math::kEmpty);
}

/// One-hot at the index; NaN for kInvalid, zeros for kEmpty.
template <class Tile>
GRADTHRU_HD void fill_row(const Tile& t, typename Tile::Real* out, int64_t K, int64_t index) {
  const auto rest = t.set(index == math::kInvalid ? std::numeric_limits<double>::quiet_NaN() : 0.0);
  t.each(K, [&](auto k) { t.store(out, k, t.select(t.is(k, index), t.set(1), rest)); });
}

/// Rows of scratch that sample_row wants beside `value`.
template <class Real>
int64_t scratch_rows_of(const SampleCall<Real>& call) {
  return call.relaxed ? 2 : 0;
}

/// Sample number `sample` of row n in `value`; returns the index that the caller sees.
template <class Tile>
GRADTHRU_HD int64_t sample_row(const Tile& t, const SampleCall<typename Tile::Real>& call,
                               int64_t n, int64_t sample, const typename Tile::Real* logits,
                               typename Tile::Real* value, typename Tile::Real* scratch) {
  const auto stream = row_stream<Tile>(call.stream, call.offsets, n, sample);
  const auto tau = temperatures<Tile>(call, n);
  const bool given = call.given != nullptr;
  int64_t drawn;
  if (given) {
    // A given index takes no draw, but the row must be looked at.
    const auto maximum = t.scalar_of(math::row_maximum(t, logits, call.K));
    drawn =
        accept_given(t, logits, call.K, call.given[item_of(n, sample, call.N, call.given_count)],
                     are_valid(t, tau) && maximum == maximum);
  } else {
    drawn = draw_index(t, call, tau, logits, stream, value);
  }
  if (call.relaxed && drawn >= 0) {
    const math::Row<Tile> row{logits, logits, value, scratch, call.K, drawn, given, stream, tau};
    math::gumbel_softmax::forward(t, row, call.params);
  } else {
    fill_row(t, value, call.K, drawn);
  }
  // kInvalid keeps its NaN value, but both read -1.
  return drawn < 0 ? -1 : drawn;
}

/// Rows of scratch that backward_row wants: the rule's, one for a mixed law, one to add samples up.
template <class Rule, bool kMixed, class Real>
int64_t scratch_rows_of(const BackwardCall<Real>& call) {
  return math::scratch_rows<Rule>(call.K) + (kMixed ? 1 : 0) + (call.samples > 1 ? 1 : 0);
}

/// Writes (sample 0) or adds the gradient of one sample of row n.
template <class Rule, bool kMixed, class Tile>
GRADTHRU_HD void backward_row(const Tile& t, const BackwardCall<typename Tile::Real>& call,
                              int64_t n, int64_t sample, const typename Tile::Real* logits,
                              const typename Tile::Real* grad, typename Tile::Real* out,
                              typename Tile::Real* scratch) {
  const int64_t stored = call.index[item_of(n, sample, call.N, call.index_count)];
  const auto tau = temperatures<Tile>(call, n);
  const bool valid = are_valid(t, tau);
  const int64_t index = call.given ? accept_given(t, logits, call.K, stored, valid)
                                   : accept_drawn(t, logits, call.K, stored, valid);
  const int64_t size = Tile::row_size(call.K);
  auto* target = sample == 0 ? out : scratch;
  auto* rest = call.samples > 1 ? scratch + size : scratch;
  if (index >= 0) {
    const auto stream = row_stream<Tile>(call.stream, call.offsets, n, sample);
    const math::Row<Tile> row{logits, grad, target, rest, call.K, index, call.given, stream, tau};
    if constexpr (kMixed) {
      math::mixed_backward<Rule>(t, row, call.params, call.uniform_mix);
    } else {
      Rule::backward(t, row, call.params);
    }
  } else {
    fill_row(t, target, call.K, index);
  }
  if (sample == 0) return;
  t.each(call.K, [&](auto k) { t.store(out, k, t.load(out, k) + t.load(target, k)); });
}

}  // namespace gradthru::cuda
