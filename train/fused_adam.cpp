#include "train/fused_adam.h"

#include <c10/core/GradMode.h>

#include "train/adam_batch.h"

namespace gradthru::train {
using torch::optim::AdamOptions;
using torch::optim::AdamParamState;

FusedAdam::FusedAdam(std::vector<torch::optim::OptimizerParamGroup> groups, AdamOptions defaults)
    : Optimizer(groups, std::make_unique<AdamOptions>(defaults)) {
  TORCH_CHECK(!defaults.amsgrad(), "FusedAdam: has no amsgrad");
}

at::Tensor FusedAdam::step(LossClosure closure) {
  const c10::NoGradGuard no_gradients;
  const at::Tensor loss = run_closure(closure);
  for (auto& group : param_groups_) {
    const auto& options = static_cast<const AdamOptions&>(group.options());
    for (const auto& [count, batch] : gather<AdamParamState>(group, state_)) {
      fused_adam_step(batch, count, options.lr(), options.betas(), options.eps(),
                      options.weight_decay());
    }
  }
  return loss;
}

}  // namespace gradthru::train
