#include "experiments/gradient_variance.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <stdexcept>

namespace gradthru::experiments {
namespace {

void clear(const std::vector<at::Tensor>& parameters) {
  for (at::Tensor parameter : parameters) parameter.mutable_grad() = at::Tensor();
}

at::Tensor flat_gradient(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& parameter : parameters) {
    const at::Tensor& grad = parameter.grad();
    parts.push_back(grad.defined() ? grad.flatten() : at::zeros_like(parameter).flatten());
  }
  return at::cat(parts).to(at::kDouble);
}

}  // namespace

double gradient_variance(const std::vector<at::Tensor>& parameters, int64_t draws,
                         const std::function<void(int64_t)>& backward) {
  if (draws < 2) throw std::logic_error("gradient_variance: wanted at least 2 draws");
  at::Tensor mean, squares;  // of the deviations from the mean so far: differences stay exact
  for (int64_t draw = 0; draw < draws; ++draw) {
    clear(parameters);
    backward(draw);
    const at::NoGradGuard no_grad;
    const at::Tensor g = flat_gradient(parameters);
    if (!mean.defined()) {
      mean = at::zeros_like(g);
      squares = at::zeros_like(g);
    }
    const at::Tensor deviation = g - mean;
    mean += deviation / static_cast<double>(draw + 1);
    squares += deviation * (g - mean);
  }
  clear(parameters);
  return squares.mean().item<double>() / static_cast<double>(draws - 1);
}

}  // namespace gradthru::experiments
