#include "experiments/batches.h"

#include <algorithm>

#include "train/streams.h"

namespace gradthru::experiments {

Batches::Batches(uint64_t order_seed, int64_t examples, int64_t batch)
    : order_seed_(order_seed), examples_(examples), batch_(batch) {}

at::Tensor Batches::at(int64_t step) {
  if (const int64_t pass = step / per_pass(); pass != pass_) {
    order_ = train::epoch_order(order_seed_, pass, examples_);
    pass_ = pass;
  }
  const int64_t start = step % per_pass() * batch_;
  return order_.narrow(0, start, std::min(batch_, examples_ - start));
}

}  // namespace gradthru::experiments
