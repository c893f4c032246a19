#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "gradthru/estimator.h"

namespace gradthru::bench {

/// A hard sample [N, K] of the logits [N, K], with a graph behind it.
using Sampler = std::function<at::Tensor(const at::Tensor& logits)>;

/// The estimator in eager LibTorch as a careful user writes it from its formula: one entry per way
/// to draw the index. Empty where there is no such text (or it would not be the same estimator).
std::vector<Sampler> eager_ways(const Estimator& estimator);

/// The surrogate for a given index [N, 1] of an estimator whose gradient depends on noise only
/// through the index; in double the reference of that gradient. Empty function for the others.
std::function<at::Tensor(const at::Tensor& logits, const at::Tensor& index)> eager_given(
    const Estimator& estimator);

/// The numbers that the largest tensor of the eager text holds per logit.
int64_t eager_numbers_per_logit(const Estimator& estimator);

/// PyTorch's F.gumbel_softmax(logits, hard=True), line by line.
at::Tensor gumbel_softmax_hard(const at::Tensor& logits, double tau = 1);

}  // namespace gradthru::bench
