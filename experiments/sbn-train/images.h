#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/config.h"

namespace gradthru::experiments {

/// Images [N, C, H, W], float in [0, 1] or uint8 of 0..255, and their classes [N].
struct LabelledImages {
  at::Tensor images, labels;

  int64_t size() const { return labels.size(0); }
  /// Those at the indices [B], images as float in [0, 1].
  LabelledImages select(const at::Tensor& indices) const;
  LabelledImages range(int64_t start, int64_t count) const;
};

/// How images are changed at random, each time they are seen in training.
struct Augmentation {
  int64_t pad = 0;    ///< zeros on every side, of which a random crop takes the old size
  bool flip = false;  ///< left and right, every second time
};

/// The data of a run: split "sbn".
struct SbnData {
  LabelledImages train, valid, test;
  Augmentation augmentation;
  std::vector<std::pair<std::string, std::string>> sha256;  ///< file -> hash
};

/// The set that `data.name` says: the tenth of the training images, after a permutation with seed
/// 0, is for validation. `padded`: grey images get zeros around them up to 32x32.
/// Errors: InvalidInput as data::load_images() and data::load_cifar().
SbnData load_sbn_data(const train::Config& config, bool padded);

/// The images of one update, changed at random.
/// Determinism: a pure function of its arguments; `seed` is that of the stream `augment`.
at::Tensor augment(const at::Tensor& images, const Augmentation& how, uint64_t seed, int64_t step);

}  // namespace gradthru::experiments
