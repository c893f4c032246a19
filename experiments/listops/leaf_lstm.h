#pragma once

#include <ATen/core/Tensor.h>

#include "experiments/listops/layout.h"

namespace gradthru::experiments::listops {

/// An LSTM from left to right, whose h and c at every token are the leaves of the tree.
///
/// Maths: gates = inputs + h_before weight^T, in the order i, f, g, o; c = s(f) c_before + s(i)
///   tanh(g), h = s(o) tanh(c).
/// Shapes: inputs [tokens, 4 d], what the layer gives for the tokens alone, bias and all, and the
///   result [tokens, 2 d], h and then c, both where the layout has the tokens; weight [4 d, d].
/// Gradient: to both.
at::Tensor leaf_lstm(const at::Tensor& inputs, const at::Tensor& weight, const Layout& layout);

}  // namespace gradthru::experiments::listops
