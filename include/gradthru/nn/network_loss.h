#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gradthru/bernoulli.h"
#include "gradthru/export.h"

namespace gradthru::nn {

/// The loss l(eta, y) at the top of a network, eta its C outputs:
/// softmax_nll: -log softmax(eta)_y, y an int64 class; logistic: log(1 + exp(-y eta)), y -1 or 1,
/// C = 1; squared: |eta - y|^2 / 2, y [B, C].
enum class NetworkLoss { softmax_nll, logistic, squared };

/// The loss of outputs eta [.., B, C] at targets [B] (squared: [B, C]): [.., B]. Units: nats.
/// Errors: InvalidInput for shapes that do not fit. Classes out of range are not noticed.
GRADTHRU_API at::Tensor loss_of(NetworkLoss loss, const at::Tensor& eta, const at::Tensor& target);

/// The units that a head reads: sampled values x [B, n] in their coding, and the preactivations
/// [B, n] that gave them their probabilities.
struct HeadInput {
  at::Tensor x, preactivation;
};

/// What arrives as the gradient of x: the derivative of the loss, or for PSA layers below what the
/// loss loses when a unit is flipped, f(x) - f(flip_i x).
enum class HeadSignal { derivative, flip };

struct HeadOptions {
  NetworkLoss loss = NetworkLoss::softmax_nll;
  Coding coding = Coding::plus_minus_one;
  HeadSignal signal = HeadSignal::derivative;
  bool one_flip_average = true;  ///< the value and the gradient of weight and bias, see below
};

/// The linear head of a network of stochastic binary units with its loss.
///
/// Maths: f(x) = l(W x + b, y); with one_flip_average the value is its Rao-Blackwellised form
///   f(x) (1 - sum_i rho_i) + sum_i rho_i f(flip_i x), rho_i = P(unit i is in its other state) / n:
///   the average over i of the exact expectation over unit i. Same mean, less variance.
/// Shapes: weight [C, n], bias [C]; the result [B].
/// Dtypes: float32, float64; all of one.
/// Gradient: to weight and bias that of the value; to x the signal at f(x), averaged or not; none
///   to the preactivations.
/// Cost: every flip is a rank-one change of the outputs, made for kHeadBlock / (B C) units at once.
/// Errors: InvalidInput for shapes that do not fit. A second derivative is refused.
/// Source: Shekhovtsov, Yanush, Flach, NeurIPS 2020, arXiv 2006.03143.
GRADTHRU_API at::Tensor head_loss(const HeadInput& input, const at::Tensor& weight,
                                  const at::Tensor& bias, const at::Tensor& target,
                                  const HeadOptions& options = {});

/// The most numbers that a temporary of head_loss() holds, unless B C is more.
inline constexpr int64_t kHeadBlock = int64_t{1} << 20;

}  // namespace gradthru::nn
