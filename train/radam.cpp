#include "train/radam.h"

#include <c10/core/GradMode.h>

#include <cmath>

#include "train/adam_batch.h"

namespace gradthru::train {
namespace {

// How far the second moment can be trusted after `step` steps: the factor of the step size, or 0
// while too little has been seen (the length rho_t of the approximated moving average is <= 5).
double rectification(int64_t step, double beta2) {
  const double power = std::pow(beta2, double(step));
  const double rho_inf = 2 / (1 - beta2) - 1;
  const double rho_t = rho_inf - 2 * double(step) * power / (1 - power);
  if (!(rho_t > 5)) return 0;
  return std::sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t));
}

void momentum_step(const AdamBatch& batch, int64_t step, const RAdamOptions& options) {
  const auto [beta1, beta2] = options.betas();
  const double lr = options.lr() / (1 - std::pow(beta1, double(step)));
  for (size_t i = 0; i < batch.params.size(); ++i) {
    const at::Tensor& param = batch.params[i];
    const at::Tensor& exp_avg = batch.exp_avgs[i];
    at::Tensor grad = batch.grads[i];
    if (options.weight_decay() != 0) grad = grad.add(param, options.weight_decay());
    exp_avg.lerp_(grad, 1 - beta1);
    batch.exp_avg_sqs[i].mul_(beta2).addcmul_(grad, grad, 1 - beta2);
    param.add_(exp_avg, -lr);
  }
}

// RAdam adds eps to the square root of the raw second moment, Adam to that of the corrected one.
// With eps divided by the correction the rectified step is an Adam step, and its fused kernel
// serves.
void rectified_step(const AdamBatch& batch, int64_t step, const RAdamOptions& options,
                    double factor) {
  const double correction = 1 - std::pow(std::get<1>(options.betas()), double(step));
  fused_adam_step(batch, step, options.lr() * factor, options.betas(),
                  options.eps() / std::sqrt(correction), options.weight_decay());
}

}  // namespace

RAdam::RAdam(std::vector<torch::optim::OptimizerParamGroup> groups, RAdamOptions defaults)
    : Optimizer(groups, std::make_unique<RAdamOptions>(defaults)) {}

at::Tensor RAdam::step(LossClosure closure) {
  const c10::NoGradGuard no_gradients;
  const at::Tensor loss = run_closure(closure);
  for (auto& group : param_groups_) {
    const auto& options = static_cast<const RAdamOptions&>(group.options());
    for (const auto& [count, batch] : gather<RAdamParamState>(group, state_)) {
      const double factor = rectification(count, std::get<1>(options.betas()));
      if (factor > 0) {
        rectified_step(batch, count, options, factor);
      } else {
        momentum_step(batch, count, options);
      }
    }
  }
  return loss;
}

}  // namespace gradthru::train
