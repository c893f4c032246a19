#include "experiments/averages.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

namespace gradthru::experiments {

void store(const Mean& mean, train::Checkpoint& checkpoint, const std::string& name) {
  checkpoint.numbers[name + ".sum"] = mean.sum;
  checkpoint.integers[name + ".count"] = mean.count;
}

void restore(Mean& mean, const train::Checkpoint& checkpoint, const std::string& name) {
  mean = {checkpoint.number(name + ".sum"), checkpoint.integer(name + ".count")};
}

Averages::Averages(std::vector<std::string> names) : names_(std::move(names)) {
  clear();
}

void Averages::add(const std::vector<at::Tensor>& means, int64_t n) {
  const at::NoGradGuard no_grad;
  sums_ += at::stack(means).to(at::kDouble) * static_cast<double>(n);
  count_ += n;
}

std::vector<train::Metric> Averages::metrics() const {
  const at::Tensor means = sums_ / static_cast<double>(std::max<int64_t>(count_, 1));
  std::vector<train::Metric> result;
  for (size_t i = 0; i < names_.size(); ++i) {
    result.push_back({names_[i], means[static_cast<int64_t>(i)].item<double>()});
  }
  return result;
}

void Averages::clear() {
  sums_ = at::zeros({static_cast<int64_t>(names_.size())}, at::kDouble);
  count_ = 0;
}

void Averages::store(train::Checkpoint& checkpoint) const {
  checkpoint.tensors["averages.sums"] = sums_;
  checkpoint.integers["averages.count"] = count_;
}

void Averages::restore(const train::Checkpoint& checkpoint) {
  sums_ = checkpoint.tensor("averages.sums").clone();
  count_ = checkpoint.integer("averages.count");
}

}  // namespace gradthru::experiments
