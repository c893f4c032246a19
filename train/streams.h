#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "gradthru/key.h"

namespace gradthru::train {

/// The seed of a named random stream: first 8 bytes, big-endian, of SHA-256 of
/// "gradthru/<root_seed>/<stream>". Streams in use: init, order, noise, binarise, dropout, eval,
/// probe, split. Separate streams keep one use of randomness from disturbing another.
uint64_t stream_seed(uint64_t root_seed, std::string_view stream);

/// A key at offset 0 of the stream.
Key stream_key(uint64_t root_seed, std::string_view stream);

/// The order in which an epoch visits n examples: int64 permutation of 0 … n−1.
///
/// Determinism: a pure function of its arguments, so that an epoch can be entered in its middle;
/// `order_seed` is stream_seed(root, "order").
/// Errors: std::invalid_argument where n or epoch is negative.
at::Tensor epoch_order(uint64_t order_seed, int64_t epoch, int64_t n);

}  // namespace gradthru::train
