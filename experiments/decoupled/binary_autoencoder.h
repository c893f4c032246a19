#pragma once

#include <memory>

#include "experiments/decoupled/task.h"

namespace gradthru::experiments::decoupled {

/// Images padded to 32x32; conv 4x4 /2, ReLU, conv 4x4 /2, ReLU, conv 3x3 to 8x8x32 logits of bits;
/// conv 3x3, ReLU, two transposed conv 4x4 /2 with ReLU between, sigmoid; squared error.
/// `hidden`: the channels after the first two convolutions.
/// Errors: InvalidInput for images that are larger.
std::unique_ptr<Task> make_binary_autoencoder(const TaskSetting& setting);

}  // namespace gradthru::experiments::decoupled
