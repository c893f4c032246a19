#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <cstdint>
#include <vector>

#include "experiments/listops/cell.h"
#include "experiments/listops/composition.h"
#include "experiments/listops/layout.h"

namespace gradthru::experiments::listops {

/// What one level did.
struct Level {
  at::Tensor nodes;   ///< [rows, n] int64: the nodes before the merge, by their number
  at::Tensor pairs;   ///< [rows, n - 1] int64: the pairs of neighbours, by their number
  at::Tensor merged;  ///< [rows] int64: the place of the pair that was merged
  at::Tensor pair;    ///< [rows] int64: its number
  at::Tensor
      scores;  ///< [rows, n - 1]: what autograd takes for an input; undefined without a choice
  at::Tensor onehot;  ///< the choice as a function of the scores
};

/// The merging of a batch. Every node and every pair has a number and is stored once: nodes in the
/// order of the layout and then those that merges make, pairs of tokens by their right one and then
/// the two that each row gets by a merge. A place where no node is has the last number, one where
/// no pair is has any.
class Merging : public torch::CustomClassHolder {
 public:
  Merging(const at::Tensor& leaves, const CompositionParameters& parameters, Layout layout,
          Choice choice);

  /// Root of each row [rows, d].
  at::Tensor run(bool differentiable);
  /// From the gradient for the roots: for leaves, weight, bias, query.
  std::vector<at::Tensor> gradients(const at::Tensor& g_root) const;
  std::vector<at::Tensor> merged() const;

 private:
  int64_t new_nodes(int64_t level) const;
  at::Tensor children(const at::Tensor& left_right) const;
  void compute_pairs(int64_t first, const at::Tensor& left_right);
  void choose(Level& level, int64_t number, bool differentiable);
  Level next(const Level& level, int64_t number);

  at::Tensor after(int64_t number, const at::Tensor& below, const at::Tensor& g_root) const;
  at::Tensor pair_scores_gradient(const Level& level, const at::Tensor& g_after) const;
  at::Tensor g_leaves(const at::Tensor& g_nodes, const at::Tensor& g_root) const;
  struct MergedPairs;
  at::Tensor before(const Level& level, const at::Tensor& g_after, const at::Tensor& children,
                    MergedPairs& merged) const;

  Layout layout_;
  Choice choice_;
  int64_t d_;
  double scale_;
  at::Tensor weight_, bias_, query_;
  at::Tensor nodes_;       // [tokens + merges + 1, 2 d]
  Cells pairs_;            // of all pairs
  at::Tensor scores_;      // of all pairs
  at::Tensor left_right_;  // [pairs, 2] int64
  std::vector<Level> levels_;
};

}  // namespace gradthru::experiments::listops
