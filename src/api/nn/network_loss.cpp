#include "gradthru/nn/network_loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <string>

#include "api/shape_text.h"
#include "gradthru/error.h"

namespace gradthru::nn {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_target(NetworkLoss loss, const Tensor& eta, const Tensor& target) {
  const int64_t B = eta.size(-2), C = eta.size(-1);
  const bool squared = loss == NetworkLoss::squared;
  const bool fits = squared ? target.dim() == 2 && target.size(0) == B && target.size(1) == C
                            : target.dim() == 1 && target.size(0) == B;
  if (!fits) {
    throw InvalidInput("loss_of: target must have the shape [" + std::to_string(B) +
                       (squared ? ", " + std::to_string(C) : "") + "], got " +
                       shape_text(target.sizes()));
  }
  if (loss == NetworkLoss::softmax_nll && target.scalar_type() != at::kLong) {
    throw InvalidInput(std::string("loss_of: the classes of softmax_nll must be int64, got ") +
                       c10::toString(target.scalar_type()));
  }
  if (loss == NetworkLoss::logistic && C != 1) {
    throw InvalidInput("loss_of: logistic wants 1 output, got " + std::to_string(C));
  }
}

/// Classes [B] as the last index into [.., B, C].
Tensor class_index(const Tensor& eta, const Tensor& target) {
  std::vector<int64_t> sizes = eta.sizes().vec();
  sizes.back() = 1;
  return target.unsqueeze(-1).expand(sizes);
}

/// d loss / d eta, [.., B, C].
Tensor slope_of(NetworkLoss loss, const Tensor& eta, const Tensor& target) {
  if (loss == NetworkLoss::squared) return eta - target;
  if (loss == NetworkLoss::logistic) {
    const Tensor y = target.to(eta.scalar_type()).unsqueeze(-1);
    return -y * at::sigmoid(-y * eta);
  }
  Tensor slope = at::softmax(eta, -1);
  const Tensor index = class_index(eta, target);
  slope.scatter_add_(-1, index, at::full({}, -1.0, eta.options()).expand(index.sizes()));
  return slope;
}

/// The head at a sample: what of it value and gradients share.
struct Sample {
  Tensor x, weight, bias, target, change, rho;  // change: of x by a flip, [B, n]
  NetworkLoss loss;

  Sample(const Tensor& x, const Tensor& a, const Tensor& weight, const Tensor& bias,
         const Tensor& target, NetworkLoss loss, bool plus_minus_one)
      : x(x), weight(weight), bias(bias), target(target), loss(loss) {
    const Tensor on = x > 0;
    const double kappa = plus_minus_one ? 2 : 1;
    change = at::where(on, -kappa, kappa).to(x.scalar_type());
    rho = at::where(on, at::sigmoid(-a), at::sigmoid(a)) / static_cast<double>(x.size(1));
  }

  Tensor eta() const { return at::addmm(bias, x, weight.t()); }

  /// Calls `each` for blocks of units, with the outputs after each flip: [units, B, C].
  template <typename Each>
  void for_flips(const Tensor& outputs, Each each) const {
    const int64_t n = x.size(1);
    const int64_t block = std::max<int64_t>(1, kHeadBlock / std::max<int64_t>(1, outputs.numel()));
    const Tensor changes = change.t().unsqueeze(-1), columns = weight.t().unsqueeze(1);
    for (int64_t first = 0; first < n; first += block) {
      const int64_t count = std::min(block, n - first);
      each(first, count,
           at::addcmul(outputs.unsqueeze(0), changes.narrow(0, first, count),
                       columns.narrow(0, first, count)));
    }
  }

  /// The loss after each flip, [n, B].
  Tensor flipped(const Tensor& outputs) const {
    Tensor all = at::empty({x.size(1), x.size(0)}, x.options());
    for_flips(outputs, [&](int64_t first, int64_t count, const Tensor& eta_i) {
      all.narrow(0, first, count).copy_(loss_of(loss, eta_i, target));
    });
    return all;
  }
};

class HeadFunction : public torch::autograd::Function<HeadFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const Tensor& a, const Tensor& target,
                        const HeadOptions& options) {
    const bool pm1 = options.coding == Coding::plus_minus_one;
    const Sample sample(x, a, weight, bias, target, options.loss, pm1);
    const Tensor eta = sample.eta(), f = loss_of(options.loss, eta, target);
    const bool flips = options.signal == HeadSignal::flip;
    Tensor d, value = f;
    if (flips || options.one_flip_average) {
      // From here on, what a flip takes away.
      const Tensor lost = f - sample.flipped(eta);
      if (options.one_flip_average) value = f - (lost * sample.rho.t()).sum(0);
      if (flips) d = lost.t();
    }
    ctx->save_for_backward({x, weight, bias, a, target, d});
    ctx->saved_data["loss"] = static_cast<int64_t>(options.loss);
    ctx->saved_data["pm1"] = pm1;
    ctx->saved_data["average"] = options.one_flip_average;
    return value;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &d = saved[5];
    const auto loss = static_cast<NetworkLoss>(ctx->saved_data["loss"].toInt());
    const Sample sample(x, saved[3], weight, saved[2], saved[4], loss,
                        ctx->saved_data["pm1"].toBool());
    if (at::GradMode::is_enabled()) {
      throw InvalidInput("head_loss: a second derivative is not defined");
    }
    const Tensor g = grads[0].unsqueeze(-1), eta = sample.eta();
    const Tensor slope = g * slope_of(loss, eta, sample.target);
    const Tensor grad_x = d.defined() ? g * d : slope.matmul(weight);
    Tensor total = slope, columns;
    if (ctx->saved_data["average"].toBool()) {
      const Tensor shares = g * sample.rho;
      total = slope * (1 - sample.rho.sum(1, true));
      columns = at::zeros_like(weight);
      sample.for_flips(eta, [&](int64_t first, int64_t count, const Tensor& eta_i) {
        const Tensor part =
            slope_of(loss, eta_i, sample.target) * shares.narrow(1, first, count).t().unsqueeze(-1);
        total = total + part.sum(0);
        const Tensor change = sample.change.narrow(1, first, count).t().unsqueeze(1);
        columns.narrow(1, first, count).copy_(change.bmm(part).squeeze(1).t());
      });
    }
    Tensor grad_weight = total.t().matmul(x);
    if (columns.defined()) grad_weight += columns;
    return {grad_x, grad_weight, total.sum(0), Tensor(), Tensor(), Tensor()};
  }
};

void check_head(const HeadInput& input, const Tensor& weight, const Tensor& bias) {
  const Tensor& x = input.x;
  if (weight.dim() != 2 || bias.dim() != 1 || bias.size(0) != weight.size(0)) {
    throw InvalidInput("head_loss: wanted a weight [C, n] and a bias [C], got " +
                       shape_text(weight.sizes()) + " and " + shape_text(bias.sizes()));
  }
  if (x.dim() != 2 || x.size(1) != weight.size(1)) {
    throw InvalidInput("head_loss: x must be [B, " + std::to_string(weight.size(1)) +
                       "] for a weight of shape " + shape_text(weight.sizes()) + ", got " +
                       shape_text(x.sizes()));
  }
  if (input.preactivation.sizes() != x.sizes()) {
    throw InvalidInput("head_loss: preactivation must have the shape of x " +
                       shape_text(x.sizes()) + ", got " + shape_text(input.preactivation.sizes()));
  }
}

}  // namespace

Tensor loss_of(NetworkLoss loss, const Tensor& eta, const Tensor& target) {
  if (eta.dim() < 2) {
    throw InvalidInput("loss_of: outputs must be [.., B, C], got " + shape_text(eta.sizes()));
  }
  check_target(loss, eta, target);
  if (loss == NetworkLoss::squared) return (eta - target).square().sum(-1) / 2;
  if (loss == NetworkLoss::logistic) return at::softplus(-target * eta.squeeze(-1));
  return -at::log_softmax(eta, -1).gather(-1, class_index(eta, target)).squeeze(-1);
}

Tensor head_loss(const HeadInput& input, const Tensor& weight, const Tensor& bias,
                 const Tensor& target, const HeadOptions& options) {
  check_head(input, weight, bias);
  return HeadFunction::apply(input.x, weight, bias, input.preactivation.detach(), target, options);
}

}  // namespace gradthru::nn
