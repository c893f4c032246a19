#pragma once

#include <ATen/core/Tensor.h>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"

namespace gradthru {

/// Throws InvalidInput for the first bad row of a result: one synchronising look at `drawn.index`;
/// only a failure reads the inputs.
void check_result(const Sample& drawn, const at::Tensor& logits, const Estimator& estimator,
                  const SampleOptions& options);

/// The same for a binary result, by a look at the value.
void check_result(const at::Tensor& value, const at::Tensor& logits, const Estimator& estimator,
                  const BinaryOptions& options);

}  // namespace gradthru
