#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "experiments/listops/layout.h"
#include "gradthru/estimator.h"
#include "gradthru/key.h"

namespace gradthru::experiments::listops {

/// The binary cell and the query of a Gumbel Tree-LSTM of width d.
struct CompositionParameters {
  at::Tensor weight;  ///< [5 d, 2 d]: from [h_left; h_right] to the gates i, f_left, f_right, u, o
  at::Tensor bias;    ///< [5 d]
  at::Tensor query;   ///< [d]
};

/// How pairs are chosen: drawn by the estimator with the noise of the key, a row's noise at its
/// number in the batch and a level's at its offset; by any function that takes a level's scores and
/// mask and gives the choice; or, without either, the pair of the highest score.
struct Choice {
  std::optional<Estimator> estimator{};
  Key key{};
  /// [rows, pairs] both and the result, soft or hard, with a graph behind it: composed densely.
  std::function<at::Tensor(const at::Tensor& scores, const at::Tensor& mask)> draw{};
};

/// How many offsets of the key a batch uses.
uint64_t offsets_used(const Choice& choice, const Layout& layout);

struct Tree {
  at::Tensor root;  ///< [rows, d]: h of the last node of each row
  /// Of each level, [merging(level)] int64: which pair of neighbours was merged.
  std::vector<at::Tensor> merged;
};

/// Merges pairs of neighbours, one of each row at a level, until one node is left.
///
/// Maths: the cell maps neighbours to c = c_l s(f_l + 1) + c_r s(f_r + 1) + tanh(u) s(i) and
///   h = s(o) tanh(c); a pair scores <query, h> / sqrt(d). With the one-hot D of a level's choice
///   and E = cumsum(D), node j becomes D_j pair_j + (1 - E_j) node_j + (E_j - D_j) node_{j+1}. The
///   last merge of a row has no choice.
/// Shapes: leaves [layout.tokens(), 2 d], h and then c of each token where the layout has it.
/// Gradient: to leaves and parameters, what autograd gives for the formula above with the
///   estimator's gradient for D.
/// Cost: a hard one-hot leaves all nodes but one as they were, so that only two pairs are computed
///   anew at a level, and the gradient of a score with respect to its pair's nodes is one vector
///   for the life of the pair: matrix products grow with the length, not with its square.
/// Source: Choi, Yoo, Lee, "Learning to Compose Task-Specific Tree Structures", AAAI 2018,
///   1707.02786.
Tree compose(const at::Tensor& leaves, const CompositionParameters& parameters,
             const Layout& layout, const Choice& choice);

/// The same, every pair of every level computed and differentiated by autograd: for estimators with
/// a relaxed sample, where no node stays as it was.
Tree compose_densely(const at::Tensor& leaves, const CompositionParameters& parameters,
                     const Layout& layout, const Choice& choice);

}  // namespace gradthru::experiments::listops
