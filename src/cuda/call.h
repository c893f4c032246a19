#pragma once

#include <cstdint>
#include <type_traits>

#include "math/row.h"

// What the calls of both families have in common.
namespace gradthru::cuda {

/// Where a call's random numbers start; a kernel adds its row and its sample's offset.
struct StreamStart {
  uint64_t seed, offset, row0;
};

/// The call with the divisions done that every row would repeat.
template <class Call>
Call prepared(Call call) {
  using Real = std::remove_cvref_t<decltype(*call.logits)>;
  call.inverse.tau_f = math::inverse<Real>(call.params.tau_f);
  call.inverse.tau_b = math::inverse<Real>(call.params.tau_b);
  return call;
}

/// Of a prepared call.
template <class Tile, class Call>
GRADTHRU_HD math::Temperatures<Tile> temperatures(const Call& call) {
  return {Tile::set(call.params.tau_f), Tile::set(call.inverse.tau_f), Tile::set(call.params.tau_b),
          Tile::set(call.inverse.tau_b)};
}

/// Position in an array of one item per row and sample, or of one item per row for all samples.
GRADTHRU_HD int64_t item_of(int64_t n, int64_t sample, int64_t N, int64_t count) {
  return count == N ? n : sample * N + n;
}

}  // namespace gradthru::cuda
