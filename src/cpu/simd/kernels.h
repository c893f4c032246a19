#pragma once

#include <cstdint>

#include "math/registry.h"
#include "math/row.h"

// The joint between the drivers and the vector kernels, which are compiled once per instruction
// set. Plain data and pointers only: no symbol but the tables themselves is shared between the
// sets.
namespace gradthru::cpu {

/// Rows that are worked on together, whatever the width of the machine's vectors: every instruction
/// set takes the same steps in the same order and gives the same bits.
inline constexpr int kLanes = 16;

/// Rows of up to so many categories are worked on in lanes, longer ones along the vector.
inline constexpr int64_t kMaxLaneCategories = 64;

inline constexpr int kMethods = 0
#define GRADTHRU_ESTIMATOR(name, ...) +1
#include "gradthru/estimators.def"
    ;

/// Runs fn(context, block) for block = 0 .. blocks - 1, perhaps on several threads.
using RunBlocks = void (*)(int64_t blocks, void* context, void (*fn)(void*, int64_t));

/// One block of rows: kLanes rows in lanes, element k of row i at [k * kLanes + i]; or a single row
/// along the vector (only entry 0 of the arrays). Lanes beyond the last row hold copies of it.
struct RowBlock {
  const float* logits;
  const float* grad;  ///< of the sample (backward)
  float* out;         ///< gradient, or relaxed sample
  float* scratch;     ///< rows as math::scratch_rows says, one more under uniform_mix
  double* totals;     ///< along the vector: K / 64 + 1 numbers for the draw
  int64_t K;
  uint64_t seed, offset, row;  ///< of the first row; the others follow it
  const math::Params* params;
  double uniform_mix;
  bool given;
  bool untempered;  ///< the law of the index has no temperature
  RunBlocks run;    ///< shares the columns of a single long row among threads; null for one thread
  float tau_f[kLanes], inv_tau_f[kLanes], tau_b[kLanes], inv_tau_b[kLanes];
  int64_t index[kLanes];  ///< result of the draw, argument of the backward; within [0, K)
  float maximum[kLanes];  ///< result of the draw: NaN tells an invalid row, -inf an empty one
};

/// How the index is drawn, decided once per call.
enum class Sampler { inverse_cdf, mixed, mixed_argmax, gumbel_race, argmax };

/// Binary elements [begin, end) of one sample, numbered absolutely: element e stands at p[e -
/// first].
struct ElementSpan {
  const float* logits;
  const float* grad;   ///< df/db in {0,1} coding (backward)
  const float* on;     ///< 1 or 0: the sample (backward, or given)
  float* out;          ///< the sample as 1 or 0, the relaxed sample, or the gradient
  const float* tau_f;  ///< per element, or null: params
  const float* tau_b;
  uint64_t first, begin, end;
  uint64_t seed, offset;
  const math::Params* params;
  double uniform_mix;
  bool untempered;  ///< the law of the sample has no temperature
  bool given;
};

/// The kernels of one instruction set.
struct Kernels {
  const char* name;
  void (*sample_lanes)(Sampler, RowBlock&);
  void (*sample_vector)(Sampler, RowBlock&);
  void (*relax_lanes)(RowBlock&);
  void (*relax_vector)(RowBlock&);
  void (*backward_lanes[kMethods])(RowBlock&);  ///< null for sequential rules
  void (*backward_vector[kMethods])(RowBlock&);
  void (*sample_binary)(const ElementSpan&);
  void (*relax_binary)(const ElementSpan&);
  void (*backward_binary[kMethods])(const ElementSpan&);
  /// Rows in memory to rows in lanes and back; all kLanes pointers must be readable, but the first
  /// `count` only are written.
  void (*pack)(const float* const* rows, int64_t K, float* lanes);
  void (*unpack)(const float* lanes, int64_t K, float* const* rows, int count);
  void (*from_half)(const uint16_t* in, float* out, int64_t n);
  void (*to_half)(const float* in, uint16_t* out, int64_t n);
  void (*from_bfloat16)(const uint16_t* in, float* out, int64_t n);
  void (*to_bfloat16)(const float* in, uint16_t* out, int64_t n);
};

/// The kernels of the best instruction set of this machine, or of the one that the environment
/// variable GRADTHRU_CPU names (baseline, avx2, avx512).
const Kernels& kernels();

}  // namespace gradthru::cpu
