#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/image_set.h"

namespace gradthru::data {

constexpr int64_t kOmniglotDrawn = 105;  ///< pixels on a side of the published images
constexpr int64_t kOmniglotSide = 28;    ///< and of ours
constexpr int kOmniglotFullInk = 225;    ///< the value of a pixel that is all ink

/// Omniglot's drawings as images of 28x28 pixels, each the number 0…225 that its ink has of its
/// area: [N, 784] uint8. Its parts are those of gradthru alone: the paths in the archive in the
/// order of their SHA-256, the first 23,000 of 32,460 for training, the next 1,345 for validation,
/// the last 8,115 for the test; other numbers of images in proportion.
struct Omniglot {
  at::Tensor train, valid, test;
  std::map<std::string, std::string> sha256;  ///< file -> hash, of what was read
};

/// The area of ink, in 225ths of a pixel of 28x28, under each of them: `ink` is 105x105 of 0 or 1,
/// row by row.
std::array<uint8_t, kOmniglotSide * kOmniglotSide> shrink_ink(const std::vector<uint8_t>& ink);

/// Reads the set `omniglot`: a tar archive of PNG images of 105x105 pixels, black is ink. With
/// `verify` the pixels must be those of the published images, whatever archive they are packed in;
/// they are then kept in the user's cache, where the next call finds them. A cache that is absent,
/// broken or not writable only costs time.
/// Errors: InvalidInput for a missing or broken archive, an image of another size or with grey
///   pixels, fewer than 4 images, and with `verify` other images.
/// Source: B. Lake, R. Salakhutdinov, J. Tenenbaum, Science 350, 2015.
Omniglot load_omniglot(const LoadOptions& options = {});

}  // namespace gradthru::data
