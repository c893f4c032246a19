#pragma once

#include <memory>

#include "experiments/decoupled/task.h"

namespace gradthru::experiments::decoupled {

/// The network `fc` of the experiment `sbn-train`, normalised on 1,000 training images. Metrics:
/// the loss, -log p of the class, and `acc1`, the accuracy of one sample. The encoder is all but
/// the head.
std::unique_ptr<Task> make_binary_network(const TaskSetting& setting);

}  // namespace gradthru::experiments::decoupled
