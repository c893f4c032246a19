#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gradthru/estimator.h"
#include "train/checkpoint.h"

namespace gradthru::experiments {

/// The parameters of a model by their names, in a fixed order.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Begins the stream `init` of a seed on the default generator, which every initialisation draws
/// from.
void begin_init_stream(uint64_t seed);

/// Appends linear layers between neighbouring widths: `<stack>.<i>.weight` [to, from] and
/// `<stack>.<i>.bias` [to], drawn as PyTorch does by default, uniformly within 1/sqrt(from), from
/// the default generator.
void add_linear_layers(NamedTensors& parameters, const std::string& stack,
                       const std::vector<int64_t>& widths);

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
