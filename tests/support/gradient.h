#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"

// The library as its users run it: forward, then one gradient through autograd.
namespace support {

/// A leaf with the same memory and strides that requires its gradient.
inline at::Tensor leaf(const at::Tensor& values) { return values.detach().requires_grad_(true); }

inline at::Tensor gradient(const at::Tensor& output, const at::Tensor& input, const at::Tensor& g) {
  return torch::autograd::grad({output}, {input}, {g})[0];
}

struct Run {
  gradthru::Sample drawn;
  at::Tensor grad;
};

/// Samples, then pulls g back to the logits.
inline Run run(const at::Tensor& logits, const gradthru::Estimator& e,
               const gradthru::SampleOptions& options, const at::Tensor& g) {
  const at::Tensor input = leaf(logits);
  Run result{gradthru::sample(input, e, options), {}};
  result.grad = gradient(result.drawn.onehot, input, g);
  return result;
}

struct BinaryRun {
  at::Tensor value;
  at::Tensor grad;
};

inline BinaryRun run_binary(const at::Tensor& logits, const gradthru::Estimator& e,
                            const gradthru::BinaryOptions& options, const at::Tensor& g) {
  const at::Tensor input = leaf(logits);
  BinaryRun result{gradthru::sample_binary(input, e, options), {}};
  result.grad = gradient(result.value, input, g);
  return result;
}

}  // namespace support
