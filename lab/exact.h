#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "gradthru/estimator.h"
#include "lab/problem.h"

// What needs no random numbers: gradients and the means and variances of estimators as finite sums.
namespace gradthru::lab {

/// More states than these are not enumerated.
inline constexpr int64_t kMostStates = int64_t{1} << 20;

/// Elements of the logits of all rows that are worked on at once.
inline constexpr int64_t kBlockElements = int64_t{1} << 21;

/// dJ / dlogits at tau_f, [B, L, K]: what the problem knows, or the sum over all K^L states of each
/// row, in blocks, from values of f alone.
/// Errors: InvalidInput where there are more than kMostStates.
at::Tensor exact_gradient(const Problem& problem, double tau_f);

/// Mean and variance of every component of an estimate, [B, L, K].
struct Moments {
  at::Tensor mean;
  at::Tensor variance;
};

/// Whether an estimate is a function of one sample of the variables.
bool is_enumerable(const Estimator& estimator);

/// The moments of enumerable estimators, in their order, by the sum over all states of each row. f
/// and its gradient are evaluated once for all of them.
/// Errors: InvalidInput where there are more than kMostStates, or for an estimator that is not
///   enumerable or needs a gradient that f has not.
std::vector<Moments> enumerated_moments(const Problem& problem,
                                        const std::vector<Estimator>& estimators);

/// One estimate of the gradient for each of `draws` draws, [draws, B, L, K].
/// `options` may replace the draws by given ones, [S, draws, B, L].
at::Tensor estimates(const Problem& problem, const Estimator& estimator, int64_t draws,
                     const ExpectationOptions& options);

}  // namespace gradthru::lab
