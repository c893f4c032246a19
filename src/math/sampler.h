#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// What a sampler finds in an invalid row (NaN or +inf among the logits) and in a row whose logits
/// are all -inf.
inline constexpr int64_t kInvalid = -1;
inline constexpr int64_t kEmpty = -2;

template <class Tile>
GRADTHRU_HD typename Tile::I checked(const Tile& t, typename Tile::V maximum,
                                     typename Tile::I index) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto with_empty = t.select(t.less(t.set(-infinity), maximum), index, t.integer(kEmpty));
  return t.select(t.equal(maximum, maximum), with_empty, t.integer(kInvalid));
}

/// argmax, the lowest index on ties.
template <class Tile>
GRADTHRU_HD typename Tile::I argmax(const Tile& t, const typename Tile::Real* values,
                                    typename Tile::V maximum, int64_t K) {
  auto index = t.integer(K);
  for (int64_t k = 0; k < K; k += Tile::width) {
    const auto here =
        t.equal(t.load(values, k, K, -std::numeric_limits<double>::infinity()), maximum);
    const auto column = t.select(here, t.columns(k), t.integer(K));
    index = t.min(index, column);
  }
  return t.minimum(index);
}

/// index ~ softmax(logits * inv_tau) by inverse CDF: the smallest k whose running sum exceeds u
/// times the total, sums in double; if rounding leaves none, the last k with positive weight. A
/// category of weight 0 does not move the running sum, so the strict comparison never draws it.
template <class Tile>
GRADTHRU_HD typename Tile::I inverse_cdf(const Tile& t, const typename Tile::Real* logits,
                                         typename Tile::V inv_tau,
                                         const typename Tile::Stream& stream,
                                         typename Tile::Real* weights, int64_t K) {
  const auto maximum = row_maximum(t, logits, K);
  exponentials(t, logits, maximum, inv_tau, weights, K);
  auto total = t.widen(t.set(0));
  for (int64_t k = 0; k < K; k += Tile::width) {
    total = t.last(total + t.running(t.widen(t.load(weights, k, K, 0))));
  }
  const auto target = t.uniform(stream) * total;
  auto before = t.widen(t.set(0));
  auto found = t.integer(K);
  auto last_positive = t.integer(0);
  for (int64_t k = 0; k < K; k += Tile::width) {
    const auto weight = t.load(weights, k, K, 0);
    const auto sums = before + t.running(t.widen(weight));
    const auto hit = t.both(t.less(target, sums), t.equal(found, t.integer(K)));
    found = t.select(hit, t.columns(k), found);
    last_positive = t.select(t.less(t.set(0), weight), t.columns(k), last_positive);
    before = t.last(sums);
  }
  const auto first = t.minimum(found);
  const auto index = t.select(t.equal(first, t.integer(K)), t.maximum(last_positive), first);
  return checked(t, maximum, index);
}

/// index = argmax(logits * inv_tau + G), G iid Gumbel(0, 1).
template <class Tile>
GRADTHRU_HD typename Tile::I gumbel_argmax(const Tile& t, const typename Tile::Real* logits,
                                           typename Tile::V inv_tau,
                                           const typename Tile::Stream& stream,
                                           typename Tile::Real* perturbed, int64_t K) {
  const double minus_infinity = -std::numeric_limits<double>::infinity();
  const auto maximum = row_maximum(t, logits, K);
  auto largest = t.set(minus_infinity);
  for (int64_t k = 0; k < K; k += Tile::width) {
    const auto value = (t.load(logits, k, K, minus_infinity) - maximum) * inv_tau -
                       t.log(t.exponential(stream, k));
    largest = t.max(largest, value);
    t.store(perturbed, k, K, value);
  }
  return checked(t, maximum, argmax(t, perturbed, t.maximum(largest), K));
}

}  // namespace gradthru::math
