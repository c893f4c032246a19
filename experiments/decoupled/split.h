#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "experiments/sbn-train/images.h"
#include "train/config.h"

namespace gradthru::experiments::decoupled {

/// The images of a run, in rows of pixels: split "held-out".
struct SplitImages {
  LabelledImages train, valid, test;
  int64_t height = 0, width = 0, classes = 0;
  std::vector<std::pair<std::string, std::string>> sha256;  ///< file -> hash
};

/// The set that `data.name` says. The last sixth of its training images, in the order of the files,
/// is for validation: 10,000 of 60,000. Limits take the first of each part.
/// Errors: InvalidInput as data::load_images(), and for fewer than two training images.
SplitImages load_held_out(const train::Config& config);

}  // namespace gradthru::experiments::decoupled
