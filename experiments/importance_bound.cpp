#include "experiments/importance_bound.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace gradthru::experiments {
namespace {

/// log of the sum of the weights of each example, [n].
at::Tensor log_sum(const LogWeights& weights, const ImportanceOptions& options) {
  Key key = options.key;
  at::Tensor sum;
  for (int64_t done = 0; done < options.samples;) {
    const int64_t count = std::min(options.samples_at_once, options.samples - done);
    const Key of_chunk = key.take(static_cast<uint64_t>(count));
    const at::Tensor chunk = at::logsumexp(weights(count, of_chunk).to(at::kDouble), 0);
    sum = sum.defined() ? at::logaddexp(sum, chunk) : chunk;
    done += count;
  }
  return sum;
}

}  // namespace

double importance_bound(int64_t examples, const ImportanceOptions& options,
                        const std::function<LogWeights(int64_t, int64_t)>& weights_of) {
  const at::NoGradGuard no_grad;
  double total = 0;
  for (int64_t first = 0; first < examples; first += options.examples_at_once) {
    const int64_t n = std::min(options.examples_at_once, examples - first);
    total += log_sum(weights_of(first, n), options).sum().item<double>();
  }
  return std::log(static_cast<double>(options.samples)) - total / static_cast<double>(examples);
}

}  // namespace gradthru::experiments
