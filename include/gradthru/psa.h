#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

#include "gradthru/bernoulli.h"
#include "gradthru/export.h"

namespace gradthru {

/// A layer of stochastic binary units as its backward sees it: tensors of one shape, with a value
/// per unit.
struct PsaUnits {
  at::Tensor flip_grad;      ///< d: what the loss loses when the unit is flipped, f(x) - f(flip x)
  at::Tensor preactivation;  ///< a, so that P(on) = sigmoid(a)
  at::Tensor state;          ///< the sampled values: on where above 0, in either coding
};

/// The flip gradient of the units below a linear layer, from that of the layer's own units
/// (path-sample-analytic gradient).
///
/// Maths: d_in[i] = sum_j s_j d_j [F(a_j) - F(a_j - kappa W_ji s_i)], F the logistic function,
///   s = +1 for units that are on and -1 for others, kappa = 2 in ±1 coding and 1 in {0,1}: the
///   change of a flipped input. With grad_a = s F'(a) d the layer's weights have the gradient
///   grad_a x^T; in the layer that sees real inputs there is nothing to flip.
/// Shapes: units [..., out], weight [out, in], input [..., in]; the result as the input.
/// Dtypes: float64, float32; all of one.
/// Units: input holds the sampled values of the layer below in their coding: on where above 0. A
///   value that is neither of the two is not noticed.
/// Gradient: none; differentiating the result is refused.
/// Accuracy: in float32 within 2e-6 of sum_j |s_j d_j [..]| plus 1e-11 sum_j |d_j|, whatever
/// weights
///   and preactivations are; NaN arrives where it came from. |d| should stay below 1e15.
/// Cost: one division per three weight uses, about ten times that near weights with |kappa W| > 3;
///   temporaries for a few examples at a time and twice the weights.
/// Determinism: the same bits for any number of threads, layout and split of the batch; not on
///   another instruction set, where sums have another order.
/// Errors: c10::ValueError, c10::TypeError in words for shapes and dtypes that do not fit.
/// Source: Shekhovtsov, Yanush, Flach: Path Sample-Analytic Gradient Estimators for Stochastic
///   Binary Networks, NeurIPS 2020, arXiv 2006.03143.
/// Example: `auto d1 = psa_linear({d2, a2, x2}, W2, x1, Coding::plus_minus_one);`
GRADTHRU_API at::Tensor psa_linear(const PsaUnits& units, const at::Tensor& weight,
                                   const at::Tensor& input, Coding coding);

struct ConvOptions {
  std::array<int64_t, 2> stride = {1, 1}, padding = {0, 0}, dilation = {1, 1};
  int64_t groups = 1;
};

/// The same for a convolution with zero padding: i runs over the units of the input, j over the
/// outputs and taps that look at them; there is no unit on the padding.
///
/// Shapes: units [batch, out, rows, columns], weight [out, in / groups, kernel rows, kernel
///   columns], input [batch, in, rows, columns]; the result as the input, in its memory format.
/// Cost: channels-last tensors are read in place, others are turned a row at a time.
/// All else as psa_linear().
GRADTHRU_API at::Tensor psa_conv2d(const PsaUnits& units, const at::Tensor& weight,
                                   const at::Tensor& input, Coding coding,
                                   const ConvOptions& options = {});

}  // namespace gradthru
