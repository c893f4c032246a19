#include "train/streams.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randperm.h>

#include <stdexcept>
#include <string>

#include "train/sha256.h"

namespace gradthru::train {

uint64_t stream_seed(uint64_t root_seed, std::string_view stream) {
  return sha256_prefix("gradthru/" + std::to_string(root_seed) + "/" + std::string(stream));
}

Key stream_key(uint64_t root_seed, std::string_view stream) {
  return {.seed = stream_seed(root_seed, stream)};
}

at::Tensor epoch_order(uint64_t order_seed, int64_t epoch, int64_t n) {
  if (epoch < 0 || n < 0) {
    throw std::invalid_argument("epoch_order: epoch and n must be >= 0, got " +
                                std::to_string(epoch) + " and " + std::to_string(n));
  }
  // Hashed, because Torch's generator takes only the lower half of a seed.
  const uint64_t seed =
      sha256_prefix("gradthru/order/" + std::to_string(order_seed) + "/" + std::to_string(epoch));
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randperm(n, generator, at::kLong);
}

}  // namespace gradthru::train
