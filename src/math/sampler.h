#pragma once

#include "math/softmax.h"

namespace gradthru::math {

/// What becomes of a row with NaN or +inf among the logits, and of one whose logits are all -inf.
inline constexpr int64_t kInvalid = -1;
inline constexpr int64_t kEmpty = -2;

/// A drawn category, and the largest logit: NaN tells an invalid row, -inf an empty one, and the
/// index then means nothing.
template <class Tile>
struct Drawn {
  typename Tile::I index;
  typename Tile::V maximum;
};

/// The category with the largest logit, the lowest index on ties.
template <class Tile>
GRADTHRU_HD Drawn<Tile> argmax(const Tile& t, const typename Tile::Real* logits, int64_t K) {
  const auto maximum = row_maximum(t, logits, K);
  return {t.first(K, [&](auto k) { return t.equal(t.load(logits, k), maximum); }), maximum};
}

/// index ~ softmax(logits * inv_tau) by inverse CDF.
template <class Tile>
GRADTHRU_HD Drawn<Tile> inverse_cdf(const Tile& t, const typename Tile::Real* logits,
                                    typename Tile::V inv_tau, const typename Tile::Stream& stream,
                                    int64_t K) {
  const auto maximum = row_maximum(t, logits, K);
  return {t.pick(K, t.uniform(stream),
                 [&](auto k) { return exponential_weight(t, logits, maximum, inv_tau, k); }),
          maximum};
}

/// index = argmax(logits * inv_tau + G), G iid Gumbel(0, 1), as the exponential race
/// argmax(exp(logits * inv_tau) / E): no logarithm, the same index. `scratch` holds a row.
template <class Tile>
GRADTHRU_HD Drawn<Tile> gumbel_argmax(const Tile& t, const typename Tile::Real* logits,
                                      typename Tile::V inv_tau, const typename Tile::Stream& stream,
                                      typename Tile::Real* scratch, int64_t K) {
  const auto maximum = row_maximum(t, logits, K);
  const auto winner = t.largest(K, [&](auto k) {
    const auto weight = exponential_weight(t, logits, maximum, inv_tau, k);
    const auto speed = weight / t.exponential(stream, k);
    t.store(scratch, k, speed);
    return speed;
  });
  return {t.first(K, [&](auto k) { return t.equal(t.load(scratch, k), winner); }), maximum};
}

}  // namespace gradthru::math
