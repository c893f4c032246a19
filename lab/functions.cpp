#include "lab/functions.h"

#include <ATen/ATen.h>

namespace gradthru::lab {
namespace {

using at::Tensor;

Tensor flat(const Tensor& z) {
  return z.flatten(-2);
}

}  // namespace

Function linear(const Tensor& b, double c) {
  return [=](const Tensor& z) { return flat(z).matmul(b) + c; };
}

Function quadratic(const Tensor& A, const Tensor& b, double c) {
  return [=](const Tensor& z) {
    const Tensor x = flat(z);
    return (x.matmul(A.t()) * x).sum(-1) / 2 + x.matmul(b) + c;
  };
}

Function cubic(const Tensor& A, const Tensor& b, const Tensor& u, const Tensor& w) {
  return [=, square = quadratic(A, b, 0)](const Tensor& z) {
    return square(z) + flat(z).matmul(u.t()).pow(3).matmul(w);
  };
}

Function powers(double p, const Tensor& target) {
  return [=](const Tensor& z) { return (flat(z) - target).abs().pow(p).sum(-1); };
}

Function polynomial(double p, double c, const Tensor& v) {
  return [=](const Tensor& z) { return (z.matmul(v) - c).abs().pow(p).mean(-1); };
}

Tensor polynomial_values(int64_t K) {
  if (K == 2) return at::tensor({1.0, 0.0}, at::kDouble);
  return at::arange(K, at::kDouble) / static_cast<double>(K - 1);
}

Tensor state_of(const Tensor& z) {
  const Tensor index = z.detach().argmax(-1);
  Tensor state = at::zeros({}, index.options());
  for (int64_t l = 0; l < index.size(-1); ++l) state = state * z.size(-1) + index.select(-1, l);
  return state;
}

Function table(const Tensor& values) {
  return [=](const Tensor& z) { return values.take(state_of(z)); };
}

Function mlp(const Tensor& W1, const Tensor& b1, const Tensor& w2, double b2) {
  return [=](const Tensor& z) { return (flat(z).matmul(W1.t()) + b1).tanh().matmul(w2) + b2; };
}

Function parity() {
  return [](const Tensor& z) { return (1 - 2 * z.select(-1, 1)).prod(-1); };
}

}  // namespace gradthru::lab
