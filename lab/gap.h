#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "lab/problem.h"

// The gradient gap: how far the gradient of a hard sample, passed back through a relaxed one, is
// from the true gradient at the relaxed one.
namespace gradthru::lab {

/// Whether the estimator is the derivative of a relaxed sample s, its surrogate: st, gst and
/// gumbel_softmax.
bool has_surrogate(const Estimator& estimator);

/// s for each of `draws` draws, differentiable in the logits [draws, B, L, K] as the estimator
/// differentiates it.
/// Source: docs/estimators. Errors: std::logic_error for an estimator that has none.
at::Tensor surrogate(const at::Tensor& logits, const Estimator& estimator, const at::Tensor& index,
                     const Key& key);

/// For each draw the length of (grad f at the hard sample, through s) - (grad of f(s)), both with
/// the same noise: [draws]. Gradients are stacked over [B, L, K].
/// Errors: InvalidInput for an estimator without a surrogate or a problem without a gradient.
at::Tensor gradient_gaps(const Problem& problem, const Estimator& estimator, int64_t draws,
                         const Key& key);

/// The same, and the length of the first of the two gradients, which is the estimator's.
struct GapsAndGradients {
  at::Tensor gap, gradient;  ///< [draws]
};
GapsAndGradients gaps_and_gradients(const Problem& problem, const Estimator& estimator,
                                    int64_t draws, const Key& key);

}  // namespace gradthru::lab
