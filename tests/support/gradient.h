#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/estimators.h"

// The library as its users run it: forward, then one gradient through autograd. An estimator that
// has a value for each category is fitted to their number.
namespace support {

/// A leaf with the same memory and strides that requires its gradient.
inline at::Tensor leaf(const at::Tensor& values) {
  return values.detach().requires_grad_(true);
}

inline at::Tensor gradient(const at::Tensor& output, const at::Tensor& input, const at::Tensor& g) {
  return torch::autograd::grad({output}, {input}, {g})[0];
}

struct Outcome {
  gradthru::Sample drawn;
  at::Tensor grad;
};

/// Samples, then pulls g back to the logits.
inline Outcome run(const at::Tensor& logits, const gradthru::Estimator& e,
                   const gradthru::SampleOptions& options, const at::Tensor& g) {
  const at::Tensor input = leaf(logits);
  Outcome result{gradthru::sample(input, for_categories(e, logits.size(options.dim)), options), {}};
  result.grad = gradient(result.drawn.onehot, input, g);
  return result;
}

struct BinaryOutcome {
  at::Tensor value;
  at::Tensor grad;
};

inline BinaryOutcome run_binary(const at::Tensor& logits, const gradthru::Estimator& e,
                                const gradthru::BinaryOptions& options, const at::Tensor& g) {
  const at::Tensor input = leaf(logits);
  BinaryOutcome result{gradthru::sample_binary(input, for_categories(e, 2), options), {}};
  result.grad = gradient(result.value, input, g);
  return result;
}

}  // namespace support
