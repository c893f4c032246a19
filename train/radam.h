#pragma once

#include <torch/optim/optimizer.h>

#include <tuple>
#include <utility>
#include <vector>

namespace gradthru::train {

struct RAdamOptions : public torch::optim::OptimizerCloneableOptions<RAdamOptions> {
  RAdamOptions(double lr = 1e-3) : lr_(lr) {}  // NOLINT: as LibTorch's own options
  TORCH_ARG(double, lr) = 1e-3;
  typedef std::tuple<double, double> betas_t;
  TORCH_ARG(betas_t, betas) = std::make_tuple(0.9, 0.999);
  TORCH_ARG(double, eps) = 1e-8;
  TORCH_ARG(double, weight_decay) = 0;

 public:
  double get_lr() const override { return lr(); }
  void set_lr(const double lr) override { lr_ = lr; }
};

struct RAdamParamState : public torch::optim::OptimizerCloneableParamState<RAdamParamState> {
  TORCH_ARG(int64_t, step) = 0;
  TORCH_ARG(at::Tensor, exp_avg);
  TORCH_ARG(at::Tensor, exp_avg_sq);
};

/// Rectified Adam: Adam whose step is scaled by how far the second moment can be trusted, and plain
/// momentum while it cannot (the first five steps at the default betas).
///
/// Maths: as Python's torch.optim.RAdam with its defaults; weight decay is added to the gradient.
/// Parameters must be dense and contiguous; those without a gradient are left alone.
/// Source: Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, ICLR 2020,
/// 1908.03265.
class RAdam : public torch::optim::Optimizer {
 public:
  explicit RAdam(std::vector<torch::optim::OptimizerParamGroup> groups, RAdamOptions defaults = {});
  explicit RAdam(std::vector<at::Tensor> params, RAdamOptions defaults = {})
      : RAdam({torch::optim::OptimizerParamGroup(std::move(params))}, std::move(defaults)) {}

  at::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace gradthru::train
