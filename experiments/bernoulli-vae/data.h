#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "gradthru/key.h"
#include "train/config.h"

namespace gradthru::experiments::bernoulli {

/// Grey images [N, pixels] in [0, 1].
struct GreyImages {
  at::Tensor train, valid, test;
  std::vector<std::pair<std::string, std::string>> sha256{};  ///< file -> hash
};

/// The set that `data.name` says: Omniglot in its own parts, of the others the last sixth of the
/// training images is for validation. The runs of a sweep share what is read.
/// Errors: InvalidInput as data::load_images() and data::load_omniglot().
GreyImages load_grey(const train::Config& config);

/// Every pixel drawn: 1 with the probability of its grey value; uint8, in the images' shape.
/// Determinism: image i of the key's offset is a pure function of (its grey values, key, i).
at::Tensor binarised(const at::Tensor& grey, const Key& key);

}  // namespace gradthru::experiments::bernoulli
