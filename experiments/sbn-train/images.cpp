#include "experiments/sbn-train/images.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorIndexing.h>

#include <algorithm>

#include "data/cifar.h"
#include "experiments/vae/setup.h"
#include "train/sha256.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using at::Tensor;

constexpr int64_t kPaddedSide = 32;
constexpr int64_t kOneInValid = 10;

/// All training and test images as they lie in the files.
struct WholeSet {
  LabelledImages train, test;
  Augmentation augmentation;
  std::vector<std::pair<std::string, std::string>> sha256;
};

WholeSet cifar(const train::Config& config) {
  data::LoadOptions options;
  if (!config.text("data.dir").empty()) options.dir = config.text("data.dir");
  options.verify = config.boolean("data.verify");
  data::Cifar set = data::load_cifar(options);
  return {{set.train.images, set.train.labels},
          {set.test.images, set.test.labels},
          {.pad = 4, .flip = true},
          {set.sha256.begin(), set.sha256.end()}};
}

WholeSet grey(const train::Config& config, bool padded) {
  const auto set = images_of(config);
  const auto as_planes = [&](const Tensor& rows) {
    const Tensor planes = rows.view({-1, 1, set->height, set->width});
    const int64_t margin = padded ? (kPaddedSide - set->height) / 2 : 0;
    return margin == 0 ? planes : at::constant_pad_nd(planes, {margin, margin, margin, margin}, 0);
  };
  return {{as_planes(set->train_images), set->train_labels},
          {as_planes(set->test_images), set->test_labels},
          {.pad = 2},
          {set->sha256.begin(), set->sha256.end()}};
}

LabelledImages first_of(const LabelledImages& all, int64_t limit) {
  if (limit == 0 || limit >= all.size()) return all;
  return {all.images.narrow(0, 0, limit), all.labels.narrow(0, 0, limit)};
}

LabelledImages at_indices(const LabelledImages& all, const Tensor& indices) {
  return {all.images.index_select(0, indices), all.labels.index_select(0, indices)};
}

Tensor as_float(const Tensor& images) {
  return images.scalar_type() == at::kByte ? images.to(at::kFloat).div_(255) : images;
}

}  // namespace

LabelledImages LabelledImages::select(const Tensor& indices) const {
  const LabelledImages chosen = at_indices(*this, indices);
  return {as_float(chosen.images), chosen.labels};
}

LabelledImages LabelledImages::range(int64_t start, int64_t count) const {
  return {as_float(images.narrow(0, start, count)), labels.narrow(0, start, count)};
}

SbnData load_sbn_data(const train::Config& config, bool padded) {
  const WholeSet set =
      config.text("data.name") == "cifar-10" ? cifar(config) : grey(config, padded);
  const int64_t n = set.train.size(), held_out = std::max<int64_t>(1, n / kOneInValid);
  if (n < 2) {
    throw InvalidInput("data: wanted at least 2 training images, got " + std::to_string(n));
  }
  const Tensor order = train::epoch_order(train::stream_seed(0, "split"), 0, n);
  const auto limited = [&](const char* key) { return config.integer(key); };
  int64_t trained = n - held_out, checked = held_out;
  if (const int64_t limit = limited("data.train_limit"); limit > 0) {
    trained = std::min(trained, limit);
  }
  if (const int64_t limit = limited("data.valid_limit"); limit > 0) {
    checked = std::min(checked, limit);
  }
  return {at_indices(set.train, order.narrow(0, 0, trained)),
          at_indices(set.train, order.narrow(0, n - held_out, checked)),
          first_of(set.test, limited("data.test_limit")), set.augmentation, set.sha256};
}

Tensor augment(const Tensor& images, const Augmentation& how, uint64_t seed, int64_t step) {
  if (how.pad == 0 && !how.flip) return images;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(train::sha256_prefix(
      "gradthru/augment/" + std::to_string(seed) + "/" + std::to_string(step)));
  const int64_t B = images.size(0), H = images.size(2), W = images.size(3);
  const Tensor place = at::randint(0, 2 * how.pad + 1, {2, B}, generator, at::kLong);
  const Tensor around = at::constant_pad_nd(images, {how.pad, how.pad, how.pad, how.pad}, 0);
  // [B, C, places, places, H, W], a view: every image takes one place.
  const Tensor crops = around.unfold(2, H, 1).unfold(3, W, 1);
  using at::indexing::Slice;
  Tensor result = crops.index({at::arange(B), Slice(), place[0], place[1]});
  if (!how.flip) return result;
  const Tensor turned = at::randint(0, 2, {B, 1, 1, 1}, generator, at::kBool);
  return at::where(turned, result.flip(3), result);
}

}  // namespace gradthru::experiments
