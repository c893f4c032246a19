#pragma once

#include <cstdint>

#include "math/tile.h"

namespace gradthru::math {

/// The numbers of an estimator, in the registry's order: what crosses the operator boundary. After
/// them may stand one value for each category (for each of the two states in the binary forms).
struct Params {
#define GRADTHRU_PARAMETER(key, kind) double key = 0;
#include "gradthru/estimators.def"
  const double* values = nullptr;
  int64_t value_count = 0;

  static constexpr int64_t count = 0
#define GRADTHRU_PARAMETER(key, kind) +1
#include "gradthru/estimators.def"
      ;

  /// Reads `count` numbers; those beyond are the values, which are not copied.
  static Params from(const double* numbers, int64_t size = count) {
    Params p;
    p.values = size > count ? numbers + count : nullptr;
    p.value_count = size - count;
    int64_t position = 0;
#define GRADTHRU_PARAMETER(key, kind) p.key = numbers[position++];
#include "gradthru/estimators.def"
    return p;
  }

  GRADTHRU_HD bool scaled_sum() const { return noise == 0; }
  GRADTHRU_HD bool gap_from_probability() const { return gap < 0; }
};

/// 1/tau in the precision Real, kept finite so that a vanishing tau gives 0 and not NaN.
template <class Real>
GRADTHRU_HD double inverse(double tau) {
  constexpr double largest = std::numeric_limits<Real>::max();
  return tau * largest < 1 ? largest : 1 / tau;
}

/// The temperatures of each row (or element) and their inverses.
template <class Tile>
struct Temperatures {
  typename Tile::V tau_f, inv_tau_f, tau_b, inv_tau_b;

  /// The same in every lane.
  GRADTHRU_HD static Temperatures of(double tau_f, double tau_b) {
    using Real = typename Tile::Real;
    return {Tile::set(tau_f), Tile::set(inverse<Real>(tau_f)), Tile::set(tau_b),
            Tile::set(inverse<Real>(tau_b))};
  }
};

/// What a backward row function receives. All rows have K elements; `out` and `scratch` may be used
/// freely until the gradient stands in `out`.
template <class Tile>
struct Row {
  const typename Tile::Real* logits;
  const typename Tile::Real* grad;  ///< g at the one-hot sample
  typename Tile::Real* out;
  typename Tile::Real* scratch;  ///< scratch_rows<Rule>(K) rows of Tile::row_size(K)
  int64_t K;
  typename Tile::I index;  ///< the sampled category, in [0, K)
  bool given;              ///< the index was given, not drawn
  typename Tile::Stream stream;
  Temperatures<Tile> tau;
};

/// What a binary (sigmoid) gradient function receives: one element a lane.
template <class Tile, class Cursor = int64_t>
struct Element {
  typename Tile::V logit;
  typename Tile::V on;    ///< 1 where the sample is 1, else 0
  typename Tile::V grad;  ///< df/db in {0,1} coding
  bool given;
  typename Tile::Stream stream;
  Cursor column;  ///< of the stream
  Temperatures<Tile> tau;

  /// 2b - 1.
  GRADTHRU_HD typename Tile::V sign() const { return Tile::set(2) * on - Tile::set(1); }
};

/// Rows of scratch that a rule wants for K categories: two, unless it says otherwise.
template <class Rule>
constexpr int64_t scratch_rows(int64_t K) {
  if constexpr (requires { Rule::scratch_rows(K); }) {
    return Rule::scratch_rows(K);
  } else {
    return 2;
  }
}

/// A rule whose arithmetic is sequential and in double: it runs on ScalarTile<double> only.
template <class Rule>
constexpr bool is_sequential() {
  return requires { typename Rule::Sequential; };
}

}  // namespace gradthru::math
