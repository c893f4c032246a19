#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "train/figures.h"

namespace gradthru::experiments {

/// Square grey images side by side, `columns` in a row, a line of mid-grey between them.
/// `images`: [n, side²], 0 black to 1 white; what lies outside is cut.
/// Errors: InvalidInput if the rows are no square images.
train::Picture image_grid(const at::Tensor& images, int64_t columns);

/// What people look at first of an autoencoder: test images over their reconstructions, and images
/// that are decoded from codes of the prior; none where `samples` is undefined. Each [n, side²].
std::vector<train::Figure> autoencoder_figures(const at::Tensor& images,
                                               const at::Tensor& reconstructions,
                                               const at::Tensor& samples);

}  // namespace gradthru::experiments
