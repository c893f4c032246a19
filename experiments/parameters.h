#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "gradthru/estimator.h"
#include "train/checkpoint.h"

namespace gradthru::experiments {

/// The parameters of a model by their names, in a fixed order.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

std::vector<at::Tensor> tensors_of(const NamedTensors& parameters);

/// Looks at a loss and the gradients behind it before an update. Parameters without a gradient are
/// passed over.
/// Errors: train::Diverged with what is not finite, the estimator and the learning rate.
void require_finite(double loss, const NamedTensors& parameters, const Estimator& estimator,
                    double rate);

/// Puts parameters under `model.<name>`, and takes them back in place.
/// Errors: restore: InvalidInput for a missing one or one of another shape.
void store(const NamedTensors& parameters, train::Checkpoint& checkpoint);
void restore(const NamedTensors& parameters, const train::Checkpoint& checkpoint);

}  // namespace gradthru::experiments
