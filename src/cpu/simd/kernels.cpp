// The vector kernels of one instruction set; compiled once for each with the flags and the macro
// GRADTHRU_TARGET that src/CMakeLists.txt gives. Formulas are in src/math.
#define HWY_COMPILE_ONLY_STATIC
#include "cpu/simd/kernels.h"

#include "cpu/simd/binary_elements.h"
#include "cpu/simd/movement.h"
#include "cpu/simd/row_in_vector.h"
#include "cpu/simd/rows_in_lanes.h"
#include "math/mixture.h"

namespace gradthru::cpu {
namespace HWY_NAMESPACE {
namespace {

template <class Tile>
GRADTHRU_HD Tile make_tile(const RowBlock& b) {
  if constexpr (std::is_same_v<Tile, RowInVector>) {
    return RowInVector(b.seed, b.totals, b.run);
  } else {
    return RowsInLanes(b.seed);
  }
}

/// A number of each row in its lane.
template <class Tile>
GRADTHRU_HD Floats per_row(const float* numbers) {
  return std::is_same_v<Tile, RowInVector> ? floats(numbers[0]) : load16(numbers);
}

template <class Tile>
GRADTHRU_HD typename Tile::I load_index(const RowBlock& b) {
  if constexpr (std::is_same_v<Tile, RowInVector>) {
    return b.index[0];
  } else {
    HWY_ALIGN int32_t index[16];
    for (int i = 0; i < 16; ++i) index[i] = static_cast<int32_t>(b.index[i]);
    Ints r;
    GRADTHRU_PARTS(i) r.part[i] = hn::LoadU(IntTag(), index + i * kWidth);
    return r;
  }
}

template <class Tile>
GRADTHRU_HD void store_drawn(const math::Drawn<Tile>& drawn, RowBlock& b) {
  HWY_ALIGN float maximum[16];
  store16(drawn.maximum, maximum);
  if constexpr (std::is_same_v<Tile, RowInVector>) {
    b.maximum[0] = maximum[0];
    b.index[0] = drawn.index;
  } else {
    HWY_ALIGN int32_t index[16];
    GRADTHRU_PARTS(i) hn::StoreU(drawn.index.part[i], IntTag(), index + i * kWidth);
    for (int i = 0; i < 16; ++i) {
      b.maximum[i] = maximum[i];
      b.index[i] = index[i];
    }
  }
}

template <class Tile>
GRADTHRU_HD math::Temperatures<Tile> temperatures(const RowBlock& b) {
  return {per_row<Tile>(b.tau_f), per_row<Tile>(b.inv_tau_f), per_row<Tile>(b.tau_b),
          per_row<Tile>(b.inv_tau_b)};
}

template <class Tile>
GRADTHRU_HD math::Row<Tile> row_of(const RowBlock& b) {
  return {b.logits,
          b.grad,
          b.out,
          b.scratch,
          b.K,
          load_index<Tile>(b),
          b.given,
          {b.seed, b.offset, b.row},
          temperatures<Tile>(b)};
}

template <class Tile>
void sample(Sampler sampler, RowBlock& b) {
  const Tile t = make_tile<Tile>(b);
  const typename Tile::Stream stream{b.seed, b.offset, b.row};
  const Floats inv_tau = b.untempered ? floats(1) : per_row<Tile>(b.inv_tau_f);
  switch (sampler) {
    case Sampler::inverse_cdf:
      return store_drawn<Tile>(math::inverse_cdf(t, b.logits, inv_tau, stream, b.K), b);
    case Sampler::mixed:
      return store_drawn<Tile>(
          math::mixed_inverse_cdf(t, b.logits, inv_tau, b.uniform_mix, stream, b.K), b);
    case Sampler::mixed_argmax:
      return store_drawn<Tile>(math::mixed_argmax(t, b.logits, b.uniform_mix, stream, b.K), b);
    case Sampler::gumbel_race:
      return store_drawn<Tile>(math::gumbel_argmax(t, b.logits, inv_tau, stream, b.scratch, b.K),
                               b);
    case Sampler::argmax:
      return store_drawn<Tile>(math::argmax(t, b.logits, b.K), b);
  }
}

template <class Tile>
void relax(RowBlock& b) {
  math::gumbel_softmax::forward(make_tile<Tile>(b), row_of<Tile>(b), *b.params);
}

template <class Rule, class Tile>
void backward(RowBlock& b) {
  math::gradient_of<Rule>(make_tile<Tile>(b), row_of<Tile>(b), *b.params, b.uniform_mix);
}

template <class Rule, class Tile>
constexpr auto backward_of() -> void (*)(RowBlock&) {
  if constexpr (math::is_sequential<Rule>()) {
    return nullptr;
  } else {
    return &backward<Rule, Tile>;
  }
}

}  // namespace

extern const Kernels kTable;
const Kernels kTable = {
    GRADTHRU_TARGET,
    &sample<RowsInLanes>,
    &sample<RowInVector>,
    &relax<RowsInLanes>,
    &relax<RowInVector>,
    {
#define GRADTHRU_ESTIMATOR(name, ...) backward_of<math::name, RowsInLanes>(),
#include "gradthru/estimators.def"
    },
    {
#define GRADTHRU_ESTIMATOR(name, ...) backward_of<math::name, RowInVector>(),
#include "gradthru/estimators.def"
    },
    &sample_binary,
    &relax_binary,
    {
#define GRADTHRU_ESTIMATOR(name, ...) &backward_binary<math::name>,
#include "gradthru/estimators.def"
    },
    &pack,
    &unpack,
    &from_half,
    &to_half,
    &from_bfloat16,
    &to_bfloat16,
};

}  // namespace HWY_NAMESPACE
}  // namespace gradthru::cpu
