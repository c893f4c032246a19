#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>

#include "experiments/listops/cell.h"
#include "experiments/listops/composition.h"
#include "gradthru/categorical.h"

namespace gradthru::experiments::listops {

using at::Tensor;

Tree compose_densely(const Tensor& leaves, const CompositionParameters& parameters,
                     const Layout& layout, const Choice& choice) {
  const int64_t d = parameters.query.size(0);
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const Tensor padded = at::cat({leaves, at::zeros({1, 2 * d}, leaves.options())});
  Tensor nodes = padded.index_select(0, layout.places(layout.tokens()).flatten())
                     .view({layout.rows(), layout.longest(), 2 * d});
  Key key = choice.key;
  Tree tree;
  std::vector<Tensor> roots;  // of the rows that end, the last rows first
  const auto finish = [&](int64_t rows) {
    const int64_t ended = nodes.size(0) - rows;
    if (ended > 0) roots.push_back(nodes.narrow(0, rows, ended).select(1, 0).narrow(1, 0, d));
    nodes = nodes.narrow(0, 0, rows);
  };
  for (int64_t level = 0; level < layout.levels(); ++level) {
    finish(layout.merging(level));
    const int64_t pairs = nodes.size(1) - 1;
    const Tensor left = nodes.narrow(1, 0, pairs), right = nodes.narrow(1, 1, pairs);
    const Tensor pair = differentiable_cells(left, right, parameters.weight, parameters.bias);
    if (pairs == 1) {
      tree.merged.push_back(at::zeros({nodes.size(0)}, at::kLong));
      nodes = pair;
      continue;
    }
    const Tensor scores = pair.narrow(2, 0, d).matmul(parameters.query) * scale;
    const Tensor mask = layout.mask(level);
    Tensor chosen;
    if (choice.draw) {
      chosen = choice.draw(scores, mask);
      tree.merged.push_back(chosen.detach().argmax(1));
    } else if (choice.estimator) {
      const Sample drawn =
          sample(scores, *choice.estimator,
                 {.mask = mask, .key = key.take(gradthru::offsets_used(*choice.estimator))});
      chosen = drawn.onehot;
      tree.merged.push_back(drawn.index);
    } else {
      tree.merged.push_back(scores.masked_fill(mask.logical_not(), -INFINITY).argmax(1));
      chosen = at::one_hot(tree.merged.back(), pairs).to(scores.scalar_type());
    }
    const Tensor D = chosen.unsqueeze(-1), E = D.cumsum(1);
    nodes = D * pair + (1 - E) * left + (E - D) * right;
  }
  finish(0);
  std::vector<Tensor> in_order(roots.rbegin(), roots.rend());
  tree.root = at::cat(in_order);
  return tree;
}

}  // namespace gradthru::experiments::listops
