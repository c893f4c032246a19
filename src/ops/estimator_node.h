#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>

#include <mutex>
#include <optional>
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
  double uniform_mix = 0;
  c10::SymInt seed, offset, row0;
  bool given = false;  // the sample was given, not drawn
};

/// The optional tensors of a call that a backward receives again.
struct OptionTensors {
  std::optional<at::Tensor> mask, tau_f, tau_b;
};

/// The backward of a sampling op: keeps the logits, the sample and the tensors among the options,
/// and recomputes the noise.
class EstimatorNode : public torch::autograd::Node {
 public:
  EstimatorNode(EstimatorCall call, const at::Tensor& logits, const OptionTensors& options)
      : call_(std::move(call)) {
    set_next_edges(torch::autograd::collect_next_edges(logits));
    logits_ = torch::autograd::SavedVariable(logits, /*is_output=*/false);
    mask_ = torch::autograd::SavedVariable(options.mask, /*is_output=*/false);
    tau_f_ = torch::autograd::SavedVariable(options.tau_f, /*is_output=*/false);
    tau_b_ = torch::autograd::SavedVariable(options.tau_b, /*is_output=*/false);
  }

  /// What the backward op receives as the sample; must not be an output of this node.
  void save_sample(const at::Tensor& sample) {
    sample_ = torch::autograd::SavedVariable(sample, /*is_output=*/false);
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!grads[0].defined()) return {at::Tensor()};
    const OptionTensors options{unpacked(mask_), unpacked(tau_f_), unpacked(tau_b_)};
    return {backward(call_, grads[0], logits_.unpack(), sample_.unpack(), options)};
  }

  void release_variables() override {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto* saved : {&logits_, &sample_, &mask_, &tau_f_, &tau_b_}) saved->reset_data();
  }

 protected:
  virtual at::Tensor backward(const EstimatorCall& call, const at::Tensor& grad,
                              const at::Tensor& logits, const at::Tensor& sample,
                              const OptionTensors& options) = 0;

  size_t method() const { return call_.method; }

 private:
  static std::optional<at::Tensor> unpacked(const torch::autograd::SavedVariable& saved) {
    const at::Tensor tensor = saved.unpack();
    return tensor.defined() ? std::optional(tensor) : std::nullopt;
  }

  EstimatorCall call_;
  torch::autograd::SavedVariable logits_, sample_, mask_, tau_f_, tau_b_;
};

}  // namespace gradthru::ops
