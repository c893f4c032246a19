#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gradthru::experiments {

/// Which examples each update sees: passes over all of them, each in an order of its own. The last
/// batch of a pass may be smaller.
class Batches {
 public:
  /// `order_seed` is that of the stream `order`.
  Batches(uint64_t order_seed, int64_t examples, int64_t batch);

  int64_t per_pass() const { return (examples_ + batch_ - 1) / batch_; }
  /// int64 indices; a pure function of the step.
  at::Tensor at(int64_t step);

 private:
  uint64_t order_seed_;
  int64_t examples_, batch_;
  int64_t pass_ = -1;
  at::Tensor order_;
};

}  // namespace gradthru::experiments
