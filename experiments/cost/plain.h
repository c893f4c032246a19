#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gradthru/estimator.h"

// Estimators as a careful user of ATen writes them, to be timed beside the library's.
namespace gradthru::experiments::cost {

/// What stands in the place of drawn categories: logits [.., K] to a tensor of the same shape with
/// a graph behind it.
using Draw = std::function<at::Tensor(const at::Tensor& logits)>;

/// The ways to write the estimator, each with its name; empty where there is none. `rows` and
/// `categories` say how many numbers a way would hold: one that needs too many is left out.
/// Source: bench/eager.h and, for gumbel_softmax, torch::nn::functional::gumbel_softmax.
std::vector<std::pair<std::string, Draw>> plain_ways(const Estimator& estimator, int64_t rows,
                                                     int64_t categories);

/// Holds a way to the library's estimator: rows of small random logits and a random gradient behind
/// them. Where the gradient depends on noise only through the index, the same index must give the
/// same gradient; everywhere the frequencies of the categories and the mean gradient at each of
/// them must agree within kErrors standard errors of their difference.
/// Errors: std::runtime_error that says what differs.
void check_way(const Estimator& estimator, const Draw& way);

inline constexpr double kErrors = 6;

}  // namespace gradthru::experiments::cost
