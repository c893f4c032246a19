#pragma once

#include <torch/optim/adam.h>

#include <utility>
#include <vector>

namespace gradthru::train {

/// Adam (1412.6980), the algorithm and the defaults of torch::optim::Adam, on ATen's fused kernel:
/// one pass over memory instead of a dozen. Equal to torch::optim::Adam up to round-off.
///
/// Parameters must be dense and contiguous; those without a gradient are left alone.
/// Deviations: no amsgrad.
class FusedAdam : public torch::optim::Optimizer {
 public:
  explicit FusedAdam(std::vector<torch::optim::OptimizerParamGroup> groups,
                     torch::optim::AdamOptions defaults = {});
  explicit FusedAdam(std::vector<at::Tensor> params, torch::optim::AdamOptions defaults = {})
      : FusedAdam({torch::optim::OptimizerParamGroup(std::move(params))}, std::move(defaults)) {}

  at::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace gradthru::train
