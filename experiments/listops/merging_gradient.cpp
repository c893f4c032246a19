#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/autograd.h>

#include <algorithm>

#include "experiments/listops/merging.h"

namespace gradthru::experiments::listops {

using at::Tensor;

/// The gradient for the nodes after a level [rows, n - 1, 2 d]: from the levels below it, and for
/// the rows that end with it from their roots.
Tensor Merging::after(int64_t number, const Tensor& below, const Tensor& g_root) const {
  const int64_t rows = layout_.merging(number), going_on = layout_.merging(number + 1);
  if (rows == going_on) return below;
  const int64_t n = layout_.longest() - number - 1;
  Tensor ended = at::zeros({rows - going_on, n, 2 * d_}, g_root.options());
  ended.select(1, 0).narrow(1, 0, d_).copy_(g_root.narrow(0, going_on, rows - going_on));
  return going_on == 0 ? ended : at::cat({below, ended});
}

/// The gradient for the scores of a level's pairs, by the estimator. With D the one-hot and
/// E = cumsum(D), node j after the level is D_j pair_j + (1 - E_j) node_j + (E_j - D_j) node_{j+1}.
Tensor Merging::pair_scores_gradient(const Level& level, const Tensor& g_after) const {
  const int64_t rows = level.nodes.size(0), n = level.nodes.size(1);
  const Tensor nodes = nodes_.index_select(0, level.nodes.flatten()).view({rows, n, 2 * d_});
  const Tensor pairs =
      pairs_.nodes.index_select(0, level.pairs.flatten()).view({rows, n - 1, 2 * d_});
  const auto dot = [&](const Tensor& other) { return (g_after * other).sum(-1); };
  const Tensor right = dot(nodes.narrow(1, 1, n - 1));
  const Tensor g_E = right - dot(nodes.narrow(1, 0, n - 1));
  const Tensor g_D = dot(pairs) - right + g_E.flip({1}).cumsum(1).flip({1});
  return torch::autograd::grad({level.onehot}, {level.scores}, {g_D}, /*retain_graph=*/true)[0];
}

/// The merged pair of each row and level, and the gradient for what its linear layer gave.
struct Merging::MergedPairs {
  std::vector<Tensor> pairs, gates;
};

/// The gradient for the nodes before a level, but for what comes through its scores: the merged
/// pair's goes through the cell, all other nodes are those of after the level.
Tensor Merging::before(const Level& level, const Tensor& g_after, const Tensor& children,
                       MergedPairs& merged) const {
  const int64_t rows = level.nodes.size(0), n = level.nodes.size(1);
  const Tensor at_place = level.merged.unsqueeze(1), place = at::arange(n), row = at::arange(rows);
  const Tensor flat = g_after.view({-1, 2 * d_});
  const Tensor g_pair = flat.index_select(0, row * (n - 1) + level.merged);
  const Cells made{pairs_.nodes.index_select(0, level.pair),
                   pairs_.gates.index_select(0, level.pair)};
  const auto of_pair = cells_gradient(made, children.index_select(0, level.pair),
                                      g_pair.narrow(1, 0, d_), g_pair.narrow(1, d_, d_));
  merged.pairs.push_back(level.pair);
  merged.gates.push_back(of_pair.gates);
  const Tensor g_children =
      at::cat({at::mm(of_pair.gates, weight_).view({rows, 2, d_}), of_pair.c_children}, 2);
  const Tensor source =
      (place - (place > at_place).to(at::kLong)).clamp_max(n - 2) + (row * (n - 1)).unsqueeze(1);
  const Tensor first = row * n + level.merged;
  Tensor g_nodes = flat.index_select(0, source.flatten());
  g_nodes.index_copy_(0, at::stack({first, first + 1}, 1).flatten(), g_children.view({-1, 2 * d_}));
  return g_nodes.view({rows, n, 2 * d_});
}

std::vector<Tensor> Merging::gradients(const Tensor& g_root) const {
  const int64_t pairs = scores_.size(0);
  if (layout_.merges() == 0) {
    return {g_leaves({}, g_root), at::zeros_like(weight_), at::zeros_like(bias_),
            at::zeros_like(query_)};
  }
  const Tensor children = this->children(left_right_);
  // How a score depends on the two nodes of its pair, and on what the linear layer gave.
  const auto of_score = cells_gradient(pairs_, children, query_ * scale_, {});
  const Tensor slope =
      at::cat({at::mm(of_score.gates, weight_).view({pairs, 2, d_}), of_score.c_children}, 2)
          .view({pairs, 4 * d_});
  Tensor g_nodes;  // before the level that was last looked at
  Tensor g_scores = at::zeros_like(scores_);
  MergedPairs merged;
  for (int64_t t = layout_.levels() - 1; t >= 0; --t) {
    const Level& level = levels_[static_cast<size_t>(t)];
    const Tensor g_after = after(t, g_nodes, g_root);
    g_nodes = before(level, g_after, children, merged);
    if (!level.scores.defined()) continue;
    const int64_t rows = level.pairs.size(0), n = level.pairs.size(1);
    const Tensor g_level = pair_scores_gradient(level, g_after), places = level.pairs.flatten();
    g_scores.index_add_(0, places, g_level.flatten());
    const Tensor slopes = slope.index_select(0, places).view({rows, n, 2, 2 * d_});
    for (int64_t side = 0; side < 2; ++side) {
      g_nodes.narrow(1, side, n).addcmul_(slopes.select(2, side), g_level.unsqueeze(2));
    }
  }
  const Tensor g_gates = of_score.gates.mul_(g_scores.unsqueeze(1));
  g_gates.index_add_(0, at::cat(merged.pairs), at::cat(merged.gates));
  const Tensor h = children.narrow(2, 0, d_).reshape({pairs, 2 * d_});
  return {g_leaves(g_nodes, g_root), at::mm(g_gates.t(), h), g_gates.sum(0),
          at::mv(pairs_.nodes.narrow(1, 0, d_).t(), g_scores) * scale_};
}

/// From [rows, longest, 2 d] of the rows that merge, and the roots of the others, to the layout.
Tensor Merging::g_leaves(const Tensor& g_nodes, const Tensor& g_root) const {
  const int64_t merging = layout_.merging(0), rows = layout_.rows();
  Tensor g = at::zeros({layout_.tokens(), 2 * d_}, g_root.options());
  g.narrow(0, merging, rows - merging)
      .narrow(1, 0, d_)
      .copy_(g_root.narrow(0, merging, rows - merging));
  for (int64_t s = 0; merging > 0 && s < layout_.longest(); ++s) {
    const int64_t count = std::min(merging, layout_.rows_at(s));
    g.narrow(0, layout_.offset(s), count).copy_(g_nodes.narrow(0, 0, count).select(1, s));
  }
  return g;
}

}  // namespace gradthru::experiments::listops
