#include "experiments/bernoulli-vae/data.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "data/omniglot.h"
#include "experiments/vae/setup.h"
#include "gradthru/bernoulli.h"

namespace gradthru::experiments::bernoulli {
namespace {

using at::Tensor;

constexpr int64_t kOneInValid = 6;

GreyImages whole_omniglot(const train::Config& config) {
  data::LoadOptions options;
  if (const auto& dir = config.text("data.dir"); !dir.empty()) options.dir = dir;
  options.verify = config.boolean("data.verify");
  const data::Omniglot set = data::load_omniglot(options);
  const auto grey = [](const Tensor& ink) { return ink.to(at::kFloat) / data::kOmniglotFullInk; };
  return {grey(set.train), grey(set.valid), grey(set.test), {set.sha256.begin(), set.sha256.end()}};
}

GreyImages held_out(const train::Config& config) {
  const auto set = images_of(config);
  const int64_t n = set->train_images.size(0), valid = std::max<int64_t>(1, n / kOneInValid);
  if (n < 2) {
    throw InvalidInput("data: wanted at least 2 training images, got " + std::to_string(n));
  }
  return {set->train_images.narrow(0, 0, n - valid),
          set->train_images.narrow(0, n - valid, valid),
          set->test_images,
          {set->sha256.begin(), set->sha256.end()}};
}

/// As images_of() does for the other sets.
GreyImages kept_omniglot(const train::Config& config) {
  static std::mutex mutex;
  static std::string kept_name;
  static std::optional<GreyImages> kept;
  const std::lock_guard<std::mutex> lock(mutex);
  const std::string name =
      config.text("data.dir") + (config.boolean("data.verify") ? "\n1" : "\n0");
  if (!kept || kept_name != name) {
    kept = whole_omniglot(config);
    kept_name = name;
  }
  return *kept;
}

/// Logits of grey values. White and black are so far out that no draw reaches them; the logarithm
/// of 0 is kept away from, as it takes many times as long as any other.
Tensor logits_of(const Tensor& grey) {
  constexpr double kNearest = 1.0 / (1 << 20), kCertain = 100;
  return at::logit(grey, kNearest)
      .masked_fill_(grey.le(0), -kCertain)
      .masked_fill_(grey.ge(1), kCertain);
}

}  // namespace

GreyImages load_grey(const train::Config& config) {
  GreyImages images =
      config.text("data.name") == "omniglot" ? kept_omniglot(config) : held_out(config);
  images.train = first_of(images.train, config.integer("data.train_limit"));
  images.valid = first_of(images.valid, config.integer("data.valid_limit"));
  images.test = first_of(images.test, config.integer("data.test_limit"));
  return images;
}

Tensor binarised(const Tensor& grey, const Key& key) {
  const at::NoGradGuard no_grad;
  constexpr int64_t kBlock = 1000;
  const Tensor result = at::empty(grey.sizes(), at::kByte);
  for (int64_t start = 0; start < grey.size(0); start += kBlock) {
    const int64_t n = std::min(kBlock, grey.size(0) - start);
    const Tensor logits = logits_of(grey.narrow(0, start, n));
    Key placed = key;
    placed.row0 = start * grey.size(1);
    result.narrow(0, start, n).copy_(sample_binary(logits, st(), {.key = placed}));
  }
  return result;
}

}  // namespace gradthru::experiments::bernoulli
