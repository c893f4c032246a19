#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <optional>

#include "gradthru/export.h"

namespace gradthru {

/// Names the random numbers of one call: noise is a pure function of (seed, offset, row, column)
/// through Philox4x32-10, so the same key gives the same draws on every machine, thread count and
/// batch split, and a backward recomputes them instead of storing them.
///
/// Ranges: offset < 2^47, row0 + rows < 2^48.
/// Example: `Key stream{.seed = 7}; auto z = sample(logits, e, {.key =
/// stream.take(offsets_used(e))});`
struct GRADTHRU_API Key {
  uint64_t seed = 0;
  uint64_t offset = 0;
  int64_t row0 = 0;  ///< Added to row numbers: position of this piece in the whole batch.

  /// The current key; advances the offset by n, so that no later draw shares a cell with it.
  Key take(uint64_t n) {
    Key current = *this;
    offset += n;
    return current;
  }

  bool operator==(const Key&) const = default;
};

/// A key whose seed is one 64-bit draw of the generator (Torch's default CPU generator if none).
GRADTHRU_API Key key_from(const std::optional<at::Generator>& generator = std::nullopt);

}  // namespace gradthru
