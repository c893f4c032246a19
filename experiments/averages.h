#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "train/checkpoint.h"
#include "train/metrics.h"

namespace gradthru::experiments {

/// A mean over examples of what is known as a number.
struct Mean {
  double sum = 0;
  int64_t count = 0;

  void add(double value, int64_t n) {
    sum += value * static_cast<double>(n);
    count += n;
  }
  double value() const { return sum / static_cast<double>(count); }
};

/// Puts a mean under `<name>.sum` and `<name>.count`, and takes it back.
void store(const Mean& mean, train::Checkpoint& checkpoint, const std::string& name);
void restore(Mean& mean, const train::Checkpoint& checkpoint, const std::string& name);

/// Means over examples of scalar tensors; nothing waits for a value before it is asked for.
class Averages {
 public:
  explicit Averages(std::vector<std::string> names);

  /// `means`: over a batch of `n` examples, in the order of the names.
  void add(const std::vector<at::Tensor>& means, int64_t n);

  std::vector<train::Metric> metrics() const;
  int64_t count() const { return count_; }
  void clear();

  /// Under `averages.sums` and `averages.count`.
  void store(train::Checkpoint& checkpoint) const;
  void restore(const train::Checkpoint& checkpoint);

 private:
  std::vector<std::string> names_;
  at::Tensor sums_;
  int64_t count_ = 0;
};

}  // namespace gradthru::experiments
