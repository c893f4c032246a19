#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "experiments/vae/model.h"
#include "train/checkpoint.h"
#include "train/metrics.h"

namespace gradthru::experiments {

/// Sums of per-example metrics, weighted by batch size; nothing waits for a value before the end.
class Averages {
 public:
  void add(const VaeLoss& loss, int64_t n) {
    const at::NoGradGuard no_grad;
    sums_ += at::stack({loss.nelbo(), loss.recon, loss.kl, loss.max_prob}).to(at::kDouble) *
             static_cast<double>(n);
    count_ += n;
  }

  std::vector<train::Metric> metrics() const {
    const at::Tensor means = sums_ / static_cast<double>(std::max<int64_t>(count_, 1));
    std::vector<train::Metric> result;
    const char* names[] = {"nelbo", "recon", "kl", "max_prob"};
    for (int i = 0; i < 4; ++i) result.push_back({names[i], means[i].item<double>()});
    return result;
  }

  int64_t count() const { return count_; }

  void store(train::Checkpoint& checkpoint) const {
    checkpoint.tensors["averages.sums"] = sums_;
    checkpoint.integers["averages.count"] = count_;
  }
  void restore(const train::Checkpoint& checkpoint) {
    sums_ = checkpoint.tensor("averages.sums").clone();
    count_ = checkpoint.integer("averages.count");
  }

 private:
  at::Tensor sums_ = at::zeros({4}, at::kDouble);
  int64_t count_ = 0;
};

}  // namespace gradthru::experiments
