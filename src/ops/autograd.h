#pragma once

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace gradthru::ops {

/// A new autograd node, in the kind of pointer that this version of Torch keeps nodes by.
template <class T, class... Arguments>
auto make_node(Arguments&&... arguments) {
  using Pointer = decltype(torch::autograd::Edge::function);
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<torch::autograd::Node>>) {
    // Torch's deleter flattens long chains of nodes; found by the argument's namespace, since newer
    // versions have none.
    return Pointer(new T(std::forward<Arguments>(arguments)...),
                   [](auto* node) { deleteNode(node); });
  } else {
    return Pointer(c10::make_intrusive<T>(std::forward<Arguments>(arguments)...));
  }
}

/// Makes `output` a result of `node`.
template <class NodePointer>
void set_history(const at::Tensor& output, const NodePointer& node) {
  const uint32_t output_nr = node->add_input_metadata(output);
  torch::autograd::impl::set_gradient_edge(output, {node, output_nr});
}

/// A tangent of forward-mode AD would be dropped silently by a hand-written node.
inline void refuse_forward_mode(const at::Tensor& input, std::string_view op) {
  TORCH_CHECK_NOT_IMPLEMENTED(!input._fw_grad(/*level=*/0).defined(), op,
                              ": forward-mode differentiation is not supported");
}

/// Lets `gradient`, computed by a backward op from `inputs`, raise an error when it is
/// differentiated.
inline void refuse_second_order(const at::Tensor& gradient, const at::TensorList& inputs,
                                const std::string& op) {
  const bool needed =
      at::GradMode::is_enabled() && torch::autograd::any_variable_requires_grad(inputs.vec());
  if (!needed) return;
  const auto node = make_node<torch::autograd::Error>(
      op +
      ": the gradient of an estimator cannot be differentiated again (second order is refused)");
  node->set_next_edges(torch::autograd::collect_next_edges(inputs.vec()));
  set_history(gradient, node);
}

}  // namespace gradthru::ops
