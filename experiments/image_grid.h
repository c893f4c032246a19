#pragma once

#include <ATen/core/Tensor.h>

#include "train/figures.h"

namespace gradthru::experiments {

/// Square grey images side by side, `columns` in a row, a line of mid-grey between them.
/// `images`: [n, side²], 0 black to 1 white; what lies outside is cut.
/// Errors: InvalidInput if the rows are no square images.
train::Picture image_grid(const at::Tensor& images, int64_t columns);

}  // namespace gradthru::experiments
