#include "experiments/listops/merging.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <utility>

#include "gradthru/categorical.h"

namespace gradthru::experiments::listops {

using at::Tensor;

Merging::Merging(const Tensor& leaves, const CompositionParameters& parameters, Layout layout,
                 Choice choice)
    : layout_(std::move(layout)),
      choice_(std::move(choice)),
      d_(parameters.query.size(0)),
      scale_(1 / std::sqrt(static_cast<double>(d_))),
      weight_(parameters.weight.detach()),
      bias_(with_forget_bias(parameters.bias)),
      query_(parameters.query.detach()) {
  const int64_t made = layout_.merges();
  const int64_t pairs = 3 * made - 2 * layout_.merging(0);
  nodes_ = at::empty({layout_.tokens() + made + 1, 2 * d_}, leaves.options());
  nodes_.narrow(0, 0, layout_.tokens()).copy_(leaves.detach());
  nodes_.narrow(0, layout_.tokens() + made, 1).zero_();
  pairs_.nodes = at::empty({pairs, 2 * d_}, leaves.options());
  pairs_.gates = at::empty({pairs, 5 * d_}, leaves.options());
  scores_ = at::empty({pairs}, leaves.options());
  left_right_ = at::empty({pairs, 2}, at::kLong);
}

/// The number of the node that the level makes in row 0.
int64_t Merging::new_nodes(int64_t level) const {
  return layout_.tokens() + layout_.offset(level + 1) - layout_.rows();
}

Tensor Merging::children(const Tensor& left_right) const {
  return nodes_.index_select(0, left_right.flatten()).view({-1, 2, 2 * d_});
}

/// Pairs number `first` and on, of these nodes [n, 2].
void Merging::compute_pairs(int64_t first, const Tensor& left_right) {
  const int64_t n = left_right.size(0);
  const Cells made = cells(children(left_right), weight_, bias_);
  left_right_.narrow(0, first, n).copy_(left_right);
  pairs_.nodes.narrow(0, first, n).copy_(made.nodes);
  pairs_.gates.narrow(0, first, n).copy_(made.gates);
  scores_.narrow(0, first, n).copy_(at::mv(made.nodes.narrow(1, 0, d_), query_).mul_(scale_));
}

void Merging::choose(Level& level, int64_t number, bool differentiable) {
  const int64_t rows = level.pairs.size(0), pairs = level.pairs.size(1);
  if (pairs == 1) {
    level.merged = at::zeros({rows}, at::kLong);
  } else {
    const Tensor scores = scores_.index_select(0, level.pairs.flatten()).view({rows, pairs});
    const Tensor mask = layout_.mask(number);
    if (choice_.estimator) {
      const at::AutoGradMode grad(differentiable);
      level.scores = scores.requires_grad_(differentiable);
      const Sample drawn = sample(
          level.scores, *choice_.estimator,
          {.mask = mask, .key = choice_.key.take(gradthru::offsets_used(*choice_.estimator))});
      level.onehot = drawn.onehot;
      // A score that is no number has no pair: it reaches the loss through any.
      level.merged = drawn.index.clamp_min(0);
    } else {
      level.merged = scores.masked_fill(mask.logical_not(), -INFINITY).argmax(1);
    }
  }
  level.pair = level.pairs.gather(1, level.merged.unsqueeze(1)).squeeze(1);
}

/// What is left after the level for the rows that go on, with the pairs of the new node computed.
Level Merging::next(const Level& level, int64_t number) {
  const int64_t rows = layout_.merging(number + 1), n = level.nodes.size(1) - 1;
  const Tensor at_place = level.merged.narrow(0, 0, rows).unsqueeze(1);
  const Tensor place = at::arange(n), made = new_nodes(number) + at::arange(rows).unsqueeze(1);
  Level after;
  after.nodes = level.nodes.narrow(0, 0, rows).gather(1, place + (place > at_place));
  after.nodes = at::where(place == at_place, made, after.nodes);
  const auto neighbour = [&](int64_t by) {
    return after.nodes.gather(1, (at_place + by).clamp(0, n - 1));
  };
  const int64_t first = layout_.merges() + 2 * (layout_.offset(number + 2) - layout_.offset(2));
  compute_pairs(first,
                at::cat({at::cat({neighbour(-1), made}, 1), at::cat({made, neighbour(1)}, 1)}));
  const Tensor pair = place.narrow(0, 0, n - 1);
  after.pairs = level.pairs.narrow(0, 0, rows).gather(1, pair + (pair >= at_place));
  const Tensor fresh = first + at::arange(rows).unsqueeze(1);
  after.pairs = at::where(pair == at_place - 1, fresh, after.pairs);
  after.pairs = at::where(pair == at_place, fresh + rows, after.pairs);
  return after;
}

Tensor Merging::run(bool differentiable) {
  const at::NoGradGuard no_grad;
  const int64_t rows = layout_.rows(), tokens = layout_.tokens(), merges = layout_.merges();
  if (merges > 0) {
    compute_pairs(0, at::stack({layout_.predecessors(), at::arange(rows, tokens)}, 1));
    Level level;
    level.nodes = layout_.places(tokens + merges).narrow(0, 0, layout_.merging(0));
    level.pairs = (level.nodes.narrow(1, 1, layout_.longest() - 1) - rows).clamp_max(merges - 1);
    for (int64_t t = 0; t < layout_.levels(); ++t) {
      choose(level, t, differentiable);
      nodes_.narrow(0, new_nodes(t), layout_.merging(t))
          .copy_(pairs_.nodes.index_select(0, level.pair));
      levels_.push_back(level);
      if (t + 1 < layout_.levels()) level = next(level, t);
    }
  }
  std::vector<int64_t> roots;
  for (int64_t b = 0; b < rows; ++b) {
    const int64_t length = layout_.lengths()[static_cast<size_t>(b)];
    roots.push_back(length == 1 ? b : new_nodes(length - 2) + b);
  }
  return nodes_.index_select(0, at::tensor(roots, at::kLong)).narrow(1, 0, d_).contiguous();
}

std::vector<Tensor> Merging::merged() const {
  std::vector<Tensor> all;
  for (const Level& level : levels_) all.push_back(level.merged);
  return all;
}

}  // namespace gradthru::experiments::listops
