#include "train/adam_batch.h"

#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>

namespace gradthru::train {

void fused_adam_step(const AdamBatch& batch, int64_t step, double lr,
                     std::tuple<double, double> betas, double eps, double weight_decay) {
  const at::Tensor count = at::scalar_tensor(step, at::kFloat);  // the dtype that Torch uses
  const std::vector<at::Tensor> counts(batch.params.size(), count);
  at::_fused_adam_(batch.params, batch.grads, batch.exp_avgs, batch.exp_avg_sqs,
                   /*max_exp_avg_sqs=*/{}, counts, lr, std::get<0>(betas), std::get<1>(betas),
                   weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
}

at::Tensor run_closure(const torch::optim::Optimizer::LossClosure& closure) {
  if (!closure) return {};
  const c10::AutoGradMode with_gradients(true);
  return closure();
}

}  // namespace gradthru::train
