#include "experiments/listops/cell.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace gradthru::experiments::listops {

using at::Tensor;

Tensor with_forget_bias(const Tensor& bias) {
  const int64_t d = bias.size(0) / 5;
  Tensor sum = bias.detach().clone();
  sum.narrow(0, d, 2 * d).add_(1);
  return sum;
}

Cells cells(const Tensor& children, const Tensor& weight, const Tensor& bias) {
  const int64_t n = children.size(0), d = children.size(2) / 2;
  const Tensor h = children.narrow(2, 0, d).reshape({n, 2 * d});
  const Tensor gates = at::addmm(bias, h, weight.t());
  gates.narrow(1, 0, 3 * d).sigmoid_();
  gates.narrow(1, 3 * d, d).tanh_();
  gates.narrow(1, 4 * d, d).sigmoid_();
  const Tensor nodes = at::empty({n, 2 * d}, children.options());
  Tensor c = nodes.narrow(1, d, d), node_h = nodes.narrow(1, 0, d);
  at::mul_out(c, gates.narrow(1, 0, d), gates.narrow(1, 3 * d, d));
  for (int64_t side = 0; side < 2; ++side) {
    c.addcmul_(gates.narrow(1, (1 + side) * d, d), children.select(1, side).narrow(1, d, d));
  }
  at::tanh_out(node_h, c);
  node_h.mul_(gates.narrow(1, 4 * d, d));
  return {nodes, gates};
}

CellsGradient cells_gradient(const Cells& cells, const Tensor& children, const Tensor& g_h,
                             const Tensor& g_c) {
  const int64_t n = children.size(0), d = children.size(2) / 2;
  const auto gate = [&](int64_t number) { return cells.gates.narrow(1, number * d, d); };
  const Tensor tanh_c = cells.nodes.narrow(1, d, d).tanh();
  CellsGradient result{at::empty_like(cells.gates), at::empty({n, 2, d}, children.options())};
  const auto g_gate = [&](int64_t number) { return result.gates.narrow(1, number * d, d); };
  // tanh_backward(g, y) = g (1 - y^2); sigmoid_backward(g, y) = g y (1 - y).
  Tensor g = at::tanh_backward(g_h * gate(4), tanh_c);
  if (g_c.defined()) g.add_(g_c);
  g_gate(4).copy_(at::sigmoid_backward(g_h * tanh_c, gate(4)));
  g_gate(0).copy_(at::sigmoid_backward(g * gate(3), gate(0)));
  g_gate(3).copy_(at::tanh_backward(g * gate(0), gate(3)));
  for (int64_t side = 0; side < 2; ++side) {
    const Tensor c = children.select(1, side).narrow(1, d, d);
    g_gate(1 + side).copy_(at::sigmoid_backward(g * c, gate(1 + side)));
    result.c_children.select(1, side).copy_(g * gate(1 + side));
  }
  return result;
}

Tensor differentiable_cells(const Tensor& left, const Tensor& right, const Tensor& weight,
                            const Tensor& bias) {
  const int64_t d = bias.size(0) / 5;
  const auto h = [d](const Tensor& node) { return node.narrow(-1, 0, d); };
  const auto c = [d](const Tensor& node) { return node.narrow(-1, d, d); };
  const auto gates = at::linear(at::cat({h(left), h(right)}, -1), weight, bias).chunk(5, -1);
  const Tensor sum = c(left) * (gates[1] + 1).sigmoid() + c(right) * (gates[2] + 1).sigmoid() +
                     gates[3].tanh() * gates[0].sigmoid();
  return at::cat({gates[4].sigmoid() * sum.tanh(), sum}, -1);
}

}  // namespace gradthru::experiments::listops
