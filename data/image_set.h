#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace gradthru::data {

/// A set of labelled grey images on the CPU, in the order of its files.
struct ImageSet {
  at::Tensor train_images;  ///< [N, height·width] float32 in [0, 1]
  at::Tensor train_labels;  ///< [N] int64
  at::Tensor test_images;
  at::Tensor test_labels;
  int64_t height = 0;
  int64_t width = 0;
  std::map<std::string, std::string> sha256;  ///< file → hash; empty where it was not verified
};

struct LoadOptions {
  std::optional<std::string> dir = {};  ///< the setting `data.dir`; locate.h says what follows it
  bool verify = true;  ///< false skips size and SHA-256 (own images in the same format), never the
                       ///< structural checks
};

/// Reads `mnist` or `fashion-mnist` (60,000 / 10,000 images of 28×28, pixel/255) or `digits` (the
/// first 1,437 / last 360 of 8×8, pixel/16). Nothing is downloaded.
/// Errors: InvalidInput for an unknown set, a missing file, a wrong checksum, and everything that
/// is wrong inside a file, with the record (from 0) or line (from 1).
ImageSet load_images(const std::string& name, const LoadOptions& options = {});

}  // namespace gradthru::data
