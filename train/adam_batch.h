#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>
#include <torch/optim/optimizer.h>

#include <map>
#include <memory>
#include <tuple>
#include <vector>

// What Adam and RAdam share.
namespace gradthru::train {

/// Tensors of one dtype and step count that are updated together.
struct AdamBatch {
  std::vector<at::Tensor> params, grads, exp_avgs, exp_avg_sqs;
};

/// One Adam update of the batch, in place and in one pass over memory; `step` counts from 1.
void fused_adam_step(const AdamBatch& batch, int64_t step, double lr,
                     std::tuple<double, double> betas, double eps, double weight_decay);

/// The parameters of a group that have a gradient, with their moments, by step count, which this
/// advances. `State` has step, exp_avg and exp_avg_sq; it is made at a parameter's first gradient.
/// Errors: c10::Error for a parameter that is not contiguous.
template <typename State, typename States>
std::map<int64_t, AdamBatch> gather(torch::optim::OptimizerParamGroup& group, States& states) {
  std::map<int64_t, AdamBatch> batches;
  for (at::Tensor& param : group.params()) {
    if (!param.grad().defined()) continue;
    TORCH_CHECK(param.is_contiguous(), "optimiser: wants contiguous parameters");
    auto& held = states[param.unsafeGetTensorImpl()];
    if (!held) {
      auto fresh = std::make_unique<State>();
      fresh->exp_avg(at::zeros_like(param));
      fresh->exp_avg_sq(at::zeros_like(param));
      held = std::move(fresh);
    }
    auto& state = static_cast<State&>(*held);
    state.step(state.step() + 1);
    AdamBatch& batch = batches[state.step()];
    batch.params.push_back(param);
    batch.grads.push_back(param.grad().contiguous());
    batch.exp_avgs.push_back(state.exp_avg());
    batch.exp_avg_sqs.push_back(state.exp_avg_sq());
  }
  return batches;
}

/// The closure's loss, computed with gradients on; an undefined tensor without a closure.
at::Tensor run_closure(const torch::optim::Optimizer::LossClosure& closure);

}  // namespace gradthru::train
