#include "experiments/listops/leaf_lstm.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/autograd.h>

namespace gradthru::experiments::listops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The tokens at a position, or the first `rows` of them.
Tensor at_position(const Tensor& all, const Layout& layout, int64_t position, int64_t rows) {
  return all.narrow(0, layout.offset(position), rows);
}

/// Replaces inputs by gates, in place.
Tensor run(const Tensor& gates, const Tensor& weight, const Layout& layout) {
  const int64_t d = weight.size(1);
  const Tensor nodes = at::empty({gates.size(0), 2 * d}, gates.options());
  for (int64_t s = 0; s < layout.longest(); ++s) {
    const int64_t rows = layout.rows_at(s);
    const Tensor gate = at_position(gates, layout, s, rows);
    const Tensor node = at_position(nodes, layout, s, rows);
    Tensor h = node.narrow(1, 0, d), c = node.narrow(1, d, d);
    Tensor before;
    if (s > 0) {
      before = at_position(nodes, layout, s - 1, rows);
      gate.addmm_(before.narrow(1, 0, d), weight.t());
    }
    gate.narrow(1, 0, 2 * d).sigmoid_();
    gate.narrow(1, 2 * d, d).tanh_();
    gate.narrow(1, 3 * d, d).sigmoid_();
    at::mul_out(c, gate.narrow(1, 0, d), gate.narrow(1, 2 * d, d));
    if (s > 0) c.addcmul_(gate.narrow(1, d, d), before.narrow(1, d, d));
    at::tanh_out(h, c);
    h.mul_(gate.narrow(1, 3 * d, d));
  }
  return nodes;
}

/// From the gradient for the nodes to that for the inputs.
Tensor back(const Tensor& g_nodes, const Tensor& nodes, const Tensor& gates, const Tensor& weight,
            const Layout& layout) {
  const int64_t d = weight.size(1);
  const Tensor g_inputs = at::empty_like(gates);
  Tensor g_h_next, g_c_next;  // through the next position, for the rows that have one
  for (int64_t s = layout.longest() - 1; s >= 0; --s) {
    const int64_t rows = layout.rows_at(s);
    const Tensor gate = at_position(gates, layout, s, rows);
    const Tensor c = at_position(nodes, layout, s, rows).narrow(1, d, d);
    const Tensor g_node = at_position(g_nodes, layout, s, rows);
    Tensor g_h = g_node.narrow(1, 0, d), g_c = g_node.narrow(1, d, d);
    if (g_h_next.defined()) {
      g_h = g_h.clone();
      g_h.narrow(0, 0, g_h_next.size(0)).add_(g_h_next);
    }
    const Tensor tanh_c = c.tanh();
    const Tensor i = gate.narrow(1, 0, d), f = gate.narrow(1, d, d), g = gate.narrow(1, 2 * d, d),
                 o = gate.narrow(1, 3 * d, d);
    Tensor through = at::tanh_backward(g_h * o, tanh_c).add_(g_c);
    if (g_c_next.defined()) through.narrow(0, 0, g_c_next.size(0)).add_(g_c_next);
    const Tensor g_gate = at_position(g_inputs, layout, s, rows);
    g_gate.narrow(1, 0, d).copy_(at::sigmoid_backward(through * g, i));
    g_gate.narrow(1, 2 * d, d).copy_(at::tanh_backward(through * i, g));
    g_gate.narrow(1, 3 * d, d).copy_(at::sigmoid_backward(g_h * tanh_c, o));
    if (s == 0) {
      g_gate.narrow(1, d, d).zero_();
      break;
    }
    const Tensor c_before = at_position(nodes, layout, s - 1, rows).narrow(1, d, d);
    g_gate.narrow(1, d, d).copy_(at::sigmoid_backward(through * c_before, f));
    g_h_next = at::mm(g_gate, weight);
    g_c_next = through * f;
  }
  return g_inputs;
}

class LeafLstm : public torch::autograd::Function<LeafLstm> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& inputs, const Tensor& weight,
                        const Layout& layout) {
    const Tensor gates = inputs.clone();
    const Tensor nodes = run(gates, weight, layout);
    context->save_for_backward({gates, weight, nodes});
    context->saved_data["lengths"] = layout.lengths();
    return nodes;
  }

  static variable_list backward(AutogradContext* context, const variable_list& g_nodes) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &gates = saved[0], weight = saved[1], nodes = saved[2];
    const Layout layout(context->saved_data["lengths"].toIntVector());
    const Tensor g_inputs = back(g_nodes[0], nodes, gates, weight, layout);
    const Tensor h_before =
        nodes.narrow(1, 0, weight.size(1)).index_select(0, layout.predecessors());
    const Tensor g_weight =
        at::mm(g_inputs.narrow(0, layout.rows(), layout.merges()).t(), h_before);
    return {g_inputs, g_weight, {}};
  }
};

}  // namespace

Tensor leaf_lstm(const Tensor& inputs, const Tensor& weight, const Layout& layout) {
  return LeafLstm::apply(inputs, weight, layout);
}

}  // namespace gradthru::experiments::listops
