#include "experiments/listops/layout.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace gradthru::experiments::listops {

using at::Tensor;

Layout::Layout(std::vector<int64_t> lengths) : lengths_(std::move(lengths)) {
  if (lengths_.empty() || lengths_.back() < 1 ||
      !std::is_sorted(lengths_.rbegin(), lengths_.rend())) {
    throw std::logic_error("Layout: wants lengths >= 1, the longest first");
  }
  int64_t at_position = rows();
  offsets_ = {0};
  for (int64_t position = 0; position < longest(); ++position) {
    while (lengths_[static_cast<size_t>(at_position - 1)] <= position) --at_position;
    offsets_.push_back(offsets_.back() + at_position);
  }
  length_ = at::tensor(lengths_, at::kLong).unsqueeze(1);
}

int64_t Layout::rows_at(int64_t position) const {
  return position < longest() ? offset(position + 1) - offset(position) : 0;
}

Tensor Layout::places(int64_t beyond) const {
  const Tensor row = at::arange(rows()).unsqueeze(1), position = at::arange(longest());
  const Tensor start = at::tensor(at::IntArrayRef(offsets_).slice(0, longest()), at::kLong);
  return at::where(position < length_, start + row, beyond);
}

Tensor Layout::predecessors() const {
  std::vector<int64_t> rows_before;
  for (int64_t position = 1; position < longest(); ++position) {
    rows_before.insert(rows_before.end(), static_cast<size_t>(rows_at(position)),
                       rows_at(position - 1));
  }
  return at::arange(rows(), tokens()) - at::tensor(rows_before, at::kLong);
}

Tensor Layout::mask(int64_t level) const {
  const Tensor pair = at::arange(longest() - level - 1);
  return pair + (level + 1) < length_.narrow(0, 0, merging(level));
}

}  // namespace gradthru::experiments::listops
