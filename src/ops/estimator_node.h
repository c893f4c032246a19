#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "ops/autograd.h"
#include "ops/method_ops.h"

namespace gradthru::ops {

/// The names of a call's random numbers, and the estimator that takes them.
struct EstimatorCall {
  size_t method = 0;  // position in the registry
  std::vector<double> params;
  c10::SymInt seed, offset, row0;
  bool given = false;  // the sample was given, not drawn
};

/// The backward of a sampling op: keeps the logits and the sample, and recomputes the noise.
class EstimatorNode : public torch::autograd::Node {
 public:
  EstimatorNode(EstimatorCall call, const at::Tensor& logits) : call_(std::move(call)) {
    set_next_edges(torch::autograd::collect_next_edges(logits));
    logits_ = torch::autograd::SavedVariable(logits, /*is_output=*/false);
  }

  /// What the backward op receives as the sample; must not be an output of this node.
  void save_sample(const at::Tensor& sample) {
    sample_ = torch::autograd::SavedVariable(sample, /*is_output=*/false);
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!grads[0].defined()) return {at::Tensor()};
    return {backward(call_, grads[0], logits_.unpack(), sample_.unpack())};
  }

  void release_variables() override {
    std::lock_guard<std::mutex> lock(mutex_);
    logits_.reset_data();
    sample_.reset_data();
  }

 protected:
  virtual at::Tensor backward(const EstimatorCall& call, const at::Tensor& grad,
                              const at::Tensor& logits, const at::Tensor& sample) = 0;

  size_t method() const { return call_.method; }

 private:
  EstimatorCall call_;
  torch::autograd::SavedVariable logits_, sample_;
};

}  // namespace gradthru::ops
