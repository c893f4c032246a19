// The vector kernels of PSA layers, of one instruction set: see kernels.cpp. Formulas are in
// src/math/psa.h.
#define HWY_COMPILE_ONLY_STATIC
#include "cpu/simd/psa_kernels.h"

#include "cpu/simd/psa_lanes.h"
#include "math/psa.h"

namespace gradthru::cpu {
namespace HWY_NAMESPACE {
namespace {

template <class T>
void units(const T* a, const T* h, int64_t n, T* out, T* split, T* any) {
  using L = PsaLanes<T>;
  for (int64_t k = 0; k < n; k += L::kWidth) {
    const math::PsaUnit<L> unit(L::load(a + k), L::load(h + k));
    L::store(unit.t, out + 2 * k);
    L::store(unit.minus_q, out + 2 * k + L::kWidth);
    if (split != nullptr) {
      const math::PsaSplitUnit<L> parts(L::load(a + k));
      L::store(parts.minus_up, split + 2 * k);
      L::store(parts.down, split + 2 * k + L::kWidth);
    }
    if (any == nullptr) continue;
    const math::PsaAnyUnit<L> other(L::load(a + k), L::load(h + k));
    L::store(other.a, any + k);
    L::store(other.up, any + n + k);
    L::store(other.down, any + 2 * n + k);
  }
}

/// x = kappa w of the rows from k, 0 beyond `count`.
template <class T>
GRADTHRU_HD typename PsaLanes<T>::V change_at(const T* weights, int64_t k, int64_t count,
                                              double kappa) {
  using L = PsaLanes<T>;
  if (k + L::kWidth <= count) return L::load(weights + k) * L::set(kappa);
  T lane[L::kWidth] = {};
  for (int64_t i = k; i < count; ++i) lane[i - k] = weights[i];
  return L::load(lane) * L::set(kappa);
}

template <class T>
PsaLevel level_of(const T* const* of_input, int inputs, int64_t count, int64_t rows, double kappa) {
  using L = PsaLanes<T>;
  PsaLevel level = kPsaRational;
  for (int i = 0; i < inputs; ++i) {
    for (int64_t k = 0; k < rows; k += L::kWidth) {
      const auto x = L::abs(change_at(of_input[i], k, count, kappa));
      if (!L::all_within(x, L::set(math::kPsaSplitLimit))) return kPsaExtreme;
      if (!L::all_within(x, L::set(math::kPsaRationalLimit))) level = kPsaSplit;
    }
  }
  return level;
}

template <class T>
PsaLevel weights(const T* const* of_input, int inputs, int64_t count, int64_t rows, double kappa,
                 T* out) {
  using L = PsaLanes<T>;
  const PsaLevel level = level_of(of_input, inputs, count, rows, kappa);
  for (int i = 0; i < inputs; ++i) {
    T* on = out + 2 * i * rows;
    T* off = on + rows;
    for (int64_t k = 0; k < rows; k += L::kWidth) {
      const auto x = change_at(of_input[i], k, count, kappa);
      if (level == kPsaExtreme) {
        L::store(x, on + k);
        L::store(math::psa_factor<L>(x), off + k);
      } else if (level == kPsaSplit) {
        const auto g = L::with_sign(math::psa_coth_above_one<L>(x), x);
        L::store(L::set(0) - g, on + k);
        L::store(g, off + k);
      } else {
        const auto c = math::psa_coth<L>(x);
        L::store(c, on + k);
        L::store(L::set(0) - c, off + k);
      }
    }
  }
  return level;
}

/// n vectors of units of a tap whose weights are not extreme; `denominators` of inputs whose
/// weights are given.
template <PsaLevel level, int n, class T>
struct Units {
  using L = PsaLanes<T>;
  typename L::V minus_q[n], t[n];
  math::PsaSplitUnit<L> split[n];

  GRADTHRU_HD Units(const T* units, const T* parts) {
    for (int k = 0; k < n; ++k) {
      minus_q[k] = L::load(units + (2 * k + 1) * L::kWidth);
      if constexpr (level == kPsaRational) {
        t[k] = L::load(units + 2 * k * L::kWidth);
      } else {
        split[k].minus_up = L::load(parts + 2 * k * L::kWidth);
        split[k].down = L::load(parts + (2 * k + 1) * L::kWidth);
      }
    }
  }

  GRADTHRU_HD typename L::V terms(const T* weights) const {
    typename L::V below[n];
    for (int k = 0; k < n; ++k) {
      const auto weight = L::load(weights + k * L::kWidth);
      if constexpr (level == kPsaRational) {
        below[k] = t[k] - weight;
      } else {
        below[k] = split[k].below(weight);
      }
    }
    return math::psa_terms<L, n>(minus_q, below);
  }
};

/// Adds n vectors of terms to the sums of each input.
template <PsaLevel level, int n, int inputs, class T>
GRADTHRU_HD void add_terms(const T* units, const T* parts, const T* const* weights,
                           typename PsaLanes<T>::V* sum) {
  const Units<level, n, T> above(units, parts);
  _Pragma("GCC unroll 4") for (int i = 0; i < inputs; ++i) {
    sum[i] = sum[i] + above.terms(weights[i]);
  }
}

/// Adds the terms of all output channels of a tap.
template <PsaLevel level, int inputs, class T>
GRADTHRU_HD void add_tap(const T* units, const T* parts, const T** weights, int64_t rows,
                         typename PsaLanes<T>::V* sum) {
  using L = PsaLanes<T>;
  constexpr int64_t kTriple = 3 * L::kWidth;
  const int64_t rest = rows % kTriple, triples = rows - rest;
  for (int64_t k = 0; k < triples; k += kTriple) {
    add_terms<level, 3, inputs>(units, parts, weights, sum);
    units += 2 * kTriple;
    if constexpr (level == kPsaSplit) parts += 2 * kTriple;
    for (int i = 0; i < inputs; ++i) weights[i] += kTriple;
  }
  if (rest == L::kWidth) add_terms<level, 1, inputs>(units, parts, weights, sum);
  if (rest == 2 * L::kWidth) add_terms<level, 2, inputs>(units, parts, weights, sum);
}

/// The taps with extreme weights of one pixel; rarely needed, so one input at a time.
template <class T>
__attribute__((noinline)) T extreme_terms(const PsaBlock<T>& b, const T* any_units, int64_t pixel,
                                          int64_t tap_size, int input, bool off) {
  using L = PsaLanes<T>;
  auto sum = L::set(0);
  const auto sign = L::set(off ? -1 : 1);
  for (int32_t e = b.first_tap[pixel]; e < b.first_tap[pixel + 1]; ++e) {
    const PsaTap tap = b.taps[e];
    if (b.level[tap.weight] != kPsaExtreme) continue;
    const T* x = b.weights + tap.weight * tap_size + 2 * input * b.rows;
    const T* unit = any_units + tap.output * b.any_stride;
    for (int64_t k = 0; k < b.rows; k += L::kWidth) {
      math::PsaAnyUnit<L> above;
      above.a = L::load(unit + k);
      above.up = L::load(unit + b.channels + k);
      above.down = L::load(unit + 2 * b.channels + k);
      sum = sum + above.term(L::load(x + k) * sign, L::load(x + b.rows + k));
    }
  }
  return L::sum(sum);
}

/// Fetches what comes next into the second cache, a piece at each step. Which half of a table is
/// read depends on the inputs, so that the machine's own prefetch is of little use.
template <class T>
class Prefetch {
 public:
  Prefetch(const T* from, int64_t size, int64_t steps)
      : at_(reinterpret_cast<const char*>(from)),
        end_(reinterpret_cast<const char*>(from + size)),
        lines_((size * static_cast<int64_t>(sizeof(T)) / kLine + steps - 1) / steps) {}

  GRADTHRU_HD void step() {
    for (int64_t i = 0; i < lines_ && at_ < end_; ++i, at_ += kLine) __builtin_prefetch(at_, 0, 2);
  }

 private:
  static constexpr int64_t kLine = 64;
  const char* at_;
  const char* end_;
  int64_t lines_;
};

template <int inputs, class T>
void block(const PsaBlock<T>& b) {
  using L = PsaLanes<T>;
  const int64_t tap_size = 2 * inputs * b.rows;
  Prefetch<T> next(b.next_weights, b.next_size, b.examples * b.pixels);
  for (int64_t n = 0; n < b.examples; ++n) {
    for (int64_t p = 0; p < b.pixels; ++p) {
      next.step();
      const int64_t place = (n * b.pixels + p) * b.input_stride;
      int64_t start[inputs];
      typename L::V sum[inputs];
      for (int i = 0; i < inputs; ++i) {
        start[i] = (2 * i + b.off[place + i]) * b.rows;
        sum[i] = L::set(0);
      }
      for (int32_t e = b.first_tap[p]; e < b.first_tap[p + 1]; ++e) {
        const PsaTap tap = b.taps[e];
        const PsaLevel level = b.level[tap.weight];
        const int64_t above = (n * b.outputs + tap.output) * b.unit_stride;
        const T* weights[inputs];
        for (int i = 0; i < inputs; ++i) weights[i] = b.weights + tap.weight * tap_size + start[i];
        if (level == kPsaRational) {
          add_tap<kPsaRational, inputs, T>(b.units + above, nullptr, weights, b.rows, sum);
        } else if (level == kPsaSplit) {
          add_tap<kPsaSplit, inputs>(b.units + above, b.split_units + above, weights, b.rows, sum);
        }
      }
      L::template add_sums<inputs>(sum, b.grad + place);
      if (!b.any_extreme) continue;
      for (int i = 0; i < inputs; ++i) {
        b.grad[place + i] += extreme_terms(b, b.any_units + n * b.outputs * b.any_stride, p,
                                           tap_size, i, b.off[place + i] != 0);
      }
    }
  }
}

template <class T>
constexpr PsaKernels<T> kernels_of() {
  return {PsaLanes<T>::kWidth, &units<T>, &weights<T>, &block<kPsaInputs, T>, &block<1, T>};
}

}  // namespace

extern const PsaTable kPsaTable;
const PsaTable kPsaTable = {GRADTHRU_TARGET, kernels_of<float>(), kernels_of<double>()};

}  // namespace HWY_NAMESPACE
}  // namespace gradthru::cpu
