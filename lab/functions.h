#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gradthru/expectation.h"

// Functions of one-hot variables z [.., L, K], flattened to n = L K numbers where a formula says
// so.
namespace gradthru::lab {

/// b.z + c, b [n].
Function linear(const at::Tensor& b, double c);

/// z.A z / 2 + b.z + c, A [n, n].
Function quadratic(const at::Tensor& A, const at::Tensor& b, double c);

/// The quadratic with A, b plus sum over r of w_r (u_r.z)^3: u [R, n], w [R].
Function cubic(const at::Tensor& A, const at::Tensor& b, const at::Tensor& u, const at::Tensor& w);

/// sum over i of |z_i - target_i|^p, p >= 1.
Function powers(double p, const at::Tensor& target);

/// The mean over l of |v.z_l - c|^p, v [K]: what the paper on ReinMax calls polynomial programming.
Function polynomial(double p, double c, const at::Tensor& v);

/// What the categories of a variable are worth in the polynomial, v [K], float64: 1, 0 for two, the
/// first entry of the one-hot, as in the paper; k / (K - 1) for more.
at::Tensor polynomial_values(int64_t K);

/// The number of the state that one-hots z [.., L, K] are in, the first variable slowest: int64
/// [..].
at::Tensor state_of(const at::Tensor& z);

/// values [K^L] at the state, the first variable slowest; no gradient.
Function table(const at::Tensor& values);

/// w2.tanh(W1 z + b1) + b2.
Function mlp(const at::Tensor& W1, const at::Tensor& b1, const at::Tensor& w2, double b2);

/// The product over l of 1 - 2 z_l1, linear in each variable: 1 where an even number of them is in
/// category 1, else -1.
Function parity();

}  // namespace gradthru::lab
