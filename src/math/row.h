#pragma once

#include <cstdint>

#include "math/tile.h"

namespace gradthru::math {

/// The numbers of an estimator, in the registry's order: what crosses the operator boundary.
struct Params {
#define GRADTHRU_PARAMETER(key, kind) double key = 0;
#include "gradthru/estimators.def"

  static constexpr int64_t count = 0
#define GRADTHRU_PARAMETER(key, kind) +1
#include "gradthru/estimators.def"
      ;

  /// Reads `count` numbers.
  static Params from(const double* numbers) {
    Params p;
    int64_t position = 0;
#define GRADTHRU_PARAMETER(key, kind) p.key = numbers[position++];
#include "gradthru/estimators.def"
    return p;
  }

  GRADTHRU_HD bool scaled_sum() const { return noise == 0; }
  GRADTHRU_HD bool gap_from_probability() const { return gap < 0; }
};

/// What a backward row function receives. All rows have K elements; `out` and `scratch` may be used
/// freely until the gradient stands in `out`.
template <class Tile>
struct Row {
  const typename Tile::Real* logits;
  const typename Tile::Real* grad;  ///< g at the one-hot sample
  typename Tile::Real* out;
  typename Tile::Real* scratch;
  int64_t K;
  typename Tile::I index;  ///< the sampled category, in [0, K)
  bool given;              ///< the index was given, not drawn
  typename Tile::Stream stream;
};

/// What a binary (sigmoid) gradient function receives: one element a lane.
template <class Tile>
struct Element {
  typename Tile::V logit;
  typename Tile::V on;    ///< 1 where the sample is 1, else 0
  typename Tile::V grad;  ///< df/db in {0,1} coding
  bool given;
  typename Tile::Stream stream;
  int64_t column;  ///< of the stream

  /// 2b - 1.
  GRADTHRU_HD typename Tile::V sign() const { return Tile::set(2) * on - Tile::set(1); }
};

/// 1/tau in the tile's precision, kept finite so that a vanishing tau gives 0 and not NaN.
template <class Tile>
GRADTHRU_HD typename Tile::V inverse(double tau) {
  const double largest = std::numeric_limits<typename Tile::Real>::max();
  return Tile::set(tau * largest < 1 ? largest : 1 / tau);
}

}  // namespace gradthru::math
