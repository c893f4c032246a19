#include "experiments/decoupled/split.h"

#include <algorithm>

#include "experiments/vae/setup.h"

namespace gradthru::experiments::decoupled {
namespace {

constexpr int64_t kOneInValid = 6;

/// At most `limit` of them from `start` on, where 0 is no limit.
LabelledImages part(const at::Tensor& images, const at::Tensor& labels, int64_t start,
                    int64_t count, int64_t limit) {
  const int64_t n = limit > 0 ? std::min(limit, count) : count;
  return {images.narrow(0, start, n), labels.narrow(0, start, n)};
}

}  // namespace

SplitImages load_held_out(const train::Config& config) {
  const auto set = images_of(config);
  const int64_t n = set->train_labels.size(0), held_out = std::max<int64_t>(1, n / kOneInValid);
  if (n < 2) {
    throw InvalidInput("data: wanted at least 2 training images, got " + std::to_string(n));
  }
  SplitImages split;
  split.train = part(set->train_images, set->train_labels, 0, n - held_out,
                     config.integer("data.train_limit"));
  split.valid = part(set->train_images, set->train_labels, n - held_out, held_out,
                     config.integer("data.valid_limit"));
  split.test = part(set->test_images, set->test_labels, 0, set->test_labels.size(0),
                    config.integer("data.test_limit"));
  split.height = set->height;
  split.width = set->width;
  split.classes = 10;
  split.sha256 = {set->sha256.begin(), set->sha256.end()};
  return split;
}

}  // namespace gradthru::experiments::decoupled
