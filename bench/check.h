#pragma once

#include <ATen/core/Tensor.h>

#include "bench/eager.h"
#include "gradthru/estimator.h"

namespace gradthru::bench {

/// Checks ours on these tensors before it is timed: the sample is one-hot at its index, the
/// gradient sums to zero (not for `identity`), and it equals that of the eager text in double for
/// the same index where there is one.
/// Errors: std::runtime_error that says what is wrong.
void check_ours(const Estimator& estimator, const at::Tensor& logits, const at::Tensor& grad);

/// Checks a baseline: one-hot up to rounding, gradient finite and summing to zero.
void check_eager(const Sampler& sampler, const at::Tensor& logits, const at::Tensor& grad);

}  // namespace gradthru::bench
