#include "experiments/listops/composition.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/autograd.h>
#include <torch/custom_class.h>

#include <cmath>
#include <utility>

#include "experiments/listops/cell.h"
#include "gradthru/categorical.h"

namespace gradthru::experiments::listops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What one level did.
struct Level {
  Tensor nodes;   ///< [rows, n] int64: the nodes before the merge, by their number
  Tensor pairs;   ///< [rows, n - 1] int64: the pairs of neighbours, by their number
  Tensor merged;  ///< [rows] int64: the place of the pair that was merged
  Tensor pair;    ///< [rows] int64: its number
  Tensor scores;  ///< [rows, n - 1]: what autograd takes for an input; undefined without a choice
  Tensor onehot;  ///< the choice as a function of the scores
};

/// The merging of a batch. Every node and every pair has a number and is stored once: nodes in the
/// order of the layout and then those that merges make, pairs of tokens by their right one and then
/// the two that each row gets by a merge. A place where no node is has the last number, one where
/// no pair is has any.
class Merging : public torch::CustomClassHolder {
 public:
  Merging(const Tensor& leaves, const CompositionParameters& parameters, Layout layout,
          Choice choice);

  /// Root of each row [rows, d].
  Tensor run(bool differentiable);
  /// From the gradient for the roots: for leaves, weight, bias, query.
  variable_list gradients(const Tensor& g_root) const;
  std::vector<Tensor> merged() const;

 private:
  int64_t new_nodes(int64_t level) const;
  Tensor children(const Tensor& left_right) const;
  void compute_pairs(int64_t first, const Tensor& left_right);
  void choose(Level& level, int64_t number, bool differentiable);
  Level next(const Level& level, int64_t number);

  Tensor after(int64_t number, const Tensor& below, const Tensor& g_root) const;
  Tensor pair_scores_gradient(const Level& level, const Tensor& g_after) const;
  Tensor g_leaves(const Tensor& g_nodes, const Tensor& g_root) const;

  Layout layout_;
  Choice choice_;
  int64_t d_;
  double scale_;
  Tensor weight_, bias_, query_;
  Tensor nodes_;       // [tokens + merges + 1, 2 d]
  Cells pairs_;        // of all pairs
  Tensor scores_;      // of all pairs
  Tensor left_right_;  // [pairs, 2] int64
  std::vector<Level> levels_;
};

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
      level.merged = drawn.index;
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

variable_list Merging::gradients(const Tensor& g_root) const {
  const int64_t pairs = scores_.size(0);
  Tensor g_nodes;  // before the level that was last looked at
  Tensor g_weight = at::zeros_like(weight_), g_bias = at::zeros_like(bias_),
         g_query = at::zeros_like(query_);
  if (layout_.merges() == 0) return {g_leaves({}, g_root), g_weight, g_bias, g_query};
  const Tensor children = this->children(left_right_);
  const Tensor h = children.narrow(2, 0, d_).reshape({pairs, 2 * d_});
  // How a score depends on the two nodes of its pair, and on what the linear layer gave.
  const auto of_score = cells_gradient(pairs_, children, query_ * scale_, {});
  const Tensor slope =
      at::cat({at::mm(of_score.gates, weight_).view({pairs, 2, d_}), of_score.c_children}, 2);
  Tensor g_scores = at::zeros_like(scores_);
  std::vector<Tensor> merged_pairs, merged_gates;
  for (int64_t t = layout_.levels() - 1; t >= 0; --t) {
    const Level& level = levels_[static_cast<size_t>(t)];
    const int64_t rows = level.nodes.size(0), n = level.nodes.size(1);
    const Tensor g_after = after(t, g_nodes, g_root);
    const Tensor at_place = level.merged.unsqueeze(1), place = at::arange(n);
    const Tensor first = at::arange(rows) * n + level.merged;
    // The merged pair.
    const Tensor g_pair =
        g_after.view({-1, 2 * d_}).index_select(0, at::arange(rows) * (n - 1) + level.merged);
    const Tensor pair_children = children.index_select(0, level.pair);
    const auto of_pair = cells_gradient(
        {pairs_.nodes.index_select(0, level.pair), pairs_.gates.index_select(0, level.pair)},
        pair_children, g_pair.narrow(1, 0, d_), g_pair.narrow(1, d_, d_));
    const Tensor g_children =
        at::cat({at::mm(of_pair.gates, weight_).view({rows, 2, d_}), of_pair.c_children}, 2);
    merged_pairs.push_back(level.pair);
    merged_gates.push_back(of_pair.gates);
    // All other nodes are those of after the level.
    const Tensor source = (place - (place > at_place).to(at::kLong)).clamp_max(n - 2) +
                          (at::arange(rows) * (n - 1)).unsqueeze(1);
    g_nodes = g_after.view({-1, 2 * d_}).index_select(0, source.flatten());
    g_nodes.index_copy_(0, at::stack({first, first + 1}, 1).flatten(),
                        g_children.view({-1, 2 * d_}));
    g_nodes = g_nodes.view({rows, n, 2 * d_});
    if (!level.scores.defined()) continue;
    const Tensor g_level = pair_scores_gradient(level, g_after);
    g_scores.index_add_(0, level.pairs.flatten(), g_level.flatten());
    const Tensor slopes = slope.view({pairs, 4 * d_})
                              .index_select(0, level.pairs.flatten())
                              .view({rows, n - 1, 2, 2 * d_});
    for (int64_t side = 0; side < 2; ++side) {
      g_nodes.narrow(1, side, n - 1).addcmul_(slopes.select(2, side), g_level.unsqueeze(2));
    }
  }
  const Tensor g_gates = of_score.gates.mul_(g_scores.unsqueeze(1));
  g_gates.index_add_(0, at::cat(merged_pairs), at::cat(merged_gates));
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

class Compose : public torch::autograd::Function<Compose> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& leaves, const Tensor& weight,
                        const Tensor& bias, const Tensor& query,
                        const c10::intrusive_ptr<Merging>& merging) {
    static_cast<void>(leaves), static_cast<void>(weight), static_cast<void>(bias),
        static_cast<void>(query);
    context->saved_data["merging"] = c10::IValue::make_capsule(merging);
    return merging->run(/*differentiable=*/true);
  }

  static variable_list backward(AutogradContext* context, const variable_list& g_root) {
    const auto merging =
        c10::static_intrusive_pointer_cast<Merging>(context->saved_data["merging"].toCapsule());
    variable_list gradients = merging->gradients(g_root[0]);
    gradients.emplace_back();
    return gradients;
  }
};

}  // namespace

uint64_t offsets_used(const Choice& choice, const Layout& layout) {
  if (!choice.estimator) return 0;
  return gradthru::offsets_used(*choice.estimator) * static_cast<uint64_t>(layout.levels());
}

Tree compose(const Tensor& leaves, const CompositionParameters& parameters, const Layout& layout,
             const Choice& choice) {
  if (choice.draw || (choice.estimator && traits(*choice.estimator).relaxed)) {
    return compose_densely(leaves, parameters, layout, choice);
  }
  auto merging = c10::make_intrusive<Merging>(leaves, parameters, layout, choice);
  Tree tree;
  if (at::GradMode::is_enabled()) {
    tree.root =
        Compose::apply(leaves, parameters.weight, parameters.bias, parameters.query, merging);
  } else {
    tree.root = merging->run(/*differentiable=*/false);
  }
  tree.merged = merging->merged();
  return tree;
}

}  // namespace gradthru::experiments::listops
