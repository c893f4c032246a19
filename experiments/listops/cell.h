#pragma once

#include <ATen/core/Tensor.h>

// The binary cell of the Tree-LSTM, on rows. A node is its h and then its c: [n, 2 d].
namespace gradthru::experiments::listops {

/// What a cell gives for n pairs.
struct Cells {
  at::Tensor nodes;  ///< [n, 2 d]
  at::Tensor gates;  ///< [n, 5 d]: i, f_left, f_right, u, o, after sigmoid and tanh
};

/// `children` [n, 2, 2 d]: the left and the right node of each pair. Nothing is recorded for
/// autograd. `bias` has the 1 of the forget gates in it.
Cells cells(const at::Tensor& children, const at::Tensor& weight, const at::Tensor& bias);

/// The bias of the linear layer with 1 added at both forget gates.
at::Tensor with_forget_bias(const at::Tensor& bias);

/// The gradients of a cell's inputs from the gradient for its node.
struct CellsGradient {
  at::Tensor gates;       ///< [n, 5 d]: before sigmoid and tanh, what the linear layer gave
  at::Tensor c_children;  ///< [n, 2, d]
};

/// `g_h` [n, d] or [d]; `g_c` the same, or undefined for zero.
CellsGradient cells_gradient(const Cells& cells, const at::Tensor& children, const at::Tensor& g_h,
                             const at::Tensor& g_c);

/// The same cell for autograd: [.., 2 d] nodes of neighbours to [.., 2 d].
at::Tensor differentiable_cells(const at::Tensor& left, const at::Tensor& right,
                                const at::Tensor& weight, const at::Tensor& bias);

}  // namespace gradthru::experiments::listops
