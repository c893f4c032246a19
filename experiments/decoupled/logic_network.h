#pragma once

#include <memory>

#include "experiments/decoupled/task.h"

namespace gradthru::experiments::decoupled {

/// Layers of logic gates on the pixels that are on, of the middle 20x20 where the image is larger;
/// scores of classes are sums of gates divided by 10. `hidden` are the gates of each layer.
/// Metrics: the loss, and `acc`; with likeliest values both are those of the hard circuit.
std::unique_ptr<Task> make_logic_network(const TaskSetting& setting);

}  // namespace gradthru::experiments::decoupled
