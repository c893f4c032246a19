#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "experiments/listops/cell.h"
#include "experiments/listops/composition.h"
#include "experiments/listops/layout.h"
#include "experiments/listops/leaf_lstm.h"
#include "experiments/listops/model.h"
#include "gradthru/categorical.h"

namespace gradthru::experiments::listops {
namespace {

using at::Tensor;

constexpr int64_t kWidth = 6;
const std::vector<int64_t> kLengths = {9, 9, 6, 5, 3, 2, 1, 1};

CompositionParameters some_parameters() {
  const auto some = [](at::IntArrayRef size) {
    return at::randn(size, at::kDouble).requires_grad_();
  };
  return {some({5 * kWidth, 2 * kWidth}), some({5 * kWidth}), some({kWidth})};
}

Tensor some_leaves(const Layout& layout) {
  return at::randn({layout.tokens(), 2 * kWidth}, at::kDouble).requires_grad_();
}

/// The estimators that a listops run can have: those with a discrete sample over many categories.
std::vector<Estimator> discrete_estimators() {
  std::vector<Estimator> all;
  for (const Method method : methods(Family::pathwise)) {
    const auto keys = about(method).parameters;
    if (std::find(keys.begin(), keys.end(), "values") != keys.end()) continue;
    const Estimator e = make_estimator(method);
    if (!traits(e).binary_only && !traits(e).relaxed) all.push_back(e);
  }
  return all;
}

struct Gradients {
  Tree tree;
  std::vector<Tensor> of;  // leaves, weight, bias, query
};

template <typename Composition>
Gradients gradients(Composition composition, const Layout& layout, const Choice& choice) {
  at::manual_seed(3);
  const CompositionParameters p = some_parameters();
  const Tensor leaves = some_leaves(layout), g = at::randn({layout.rows(), kWidth}, at::kDouble);
  Gradients result;
  result.tree = composition(leaves, p, layout, choice);
  result.of = torch::autograd::grad({result.tree.root}, {leaves, p.weight, p.bias, p.query}, {g},
                                    /*retain_graph=*/false, /*create_graph=*/false,
                                    /*allow_unused=*/true);
  return result;
}

void expect_near(const Tensor& a, const Tensor& b, double tolerance, const std::string& what) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  if (a.numel() == 0) return;
  EXPECT_LE((a - b).abs().max().item<double>(), tolerance) << what;
}

// Nodes that stay as they were, pairs that are not computed again and the one slope of a pair's
// score must give what autograd gives for all pairs of all levels.
TEST(CompositionTest, IsTheDenseOneForEveryEstimator) {
  const Layout layout(kLengths);
  for (const Estimator& e : discrete_estimators()) {
    const Choice choice{.estimator = e, .key = {.seed = 5, .offset = 70}};
    const Gradients ours = gradients(compose, layout, choice);
    const Gradients dense = gradients(compose_densely, layout, choice);
    const std::string name = to_string(e);
    for (size_t t = 0; t < dense.tree.merged.size(); ++t) {
      EXPECT_TRUE(at::equal(ours.tree.merged[t], dense.tree.merged[t])) << name << " level " << t;
    }
    expect_near(ours.tree.root, dense.tree.root, 1e-12, name);
    for (size_t i = 0; i < dense.of.size(); ++i) {
      const double unit = dense.of[i].abs().max().item<double>();
      ASSERT_GT(unit, 0) << name;
      expect_near(ours.of[i], dense.of[i], 1e-10 * unit, name + " gradient " + std::to_string(i));
    }
  }
}

// The LSTM's own forward and backward against Torch's cell, one sentence at a time.
TEST(LeafLstmTest, IsTorchsCellWithItsGradient) {
  at::manual_seed(4);
  const Layout layout(kLengths);
  const Tensor inputs = at::randn({layout.tokens(), 4 * kWidth}, at::kDouble).requires_grad_();
  const Tensor weight = at::randn({4 * kWidth, kWidth}, at::kDouble).requires_grad_();
  const Tensor places = layout.places(-1);
  const Tensor g = at::randn({layout.tokens(), 2 * kWidth}, at::kDouble);
  std::vector<Tensor> expected(static_cast<size_t>(layout.tokens()));
  const Tensor nothing = at::zeros({4 * kWidth}, at::kDouble);
  for (int64_t b = 0; b < layout.rows(); ++b) {
    Tensor h = at::zeros({1, kWidth}, at::kDouble), c = h;
    for (int64_t s = 0; s < kLengths[static_cast<size_t>(b)]; ++s) {
      const int64_t place = places[b][s].item<int64_t>();
      // The cell is given the inputs as they are: by an identity matrix.
      const Tensor input = inputs.narrow(0, place, 1);
      std::tie(h, c) =
          at::lstm_cell(input, {h, c}, at::eye(4 * kWidth, at::kDouble), weight, nothing, nothing);
      expected[static_cast<size_t>(place)] = at::cat({h, c}, 1);
    }
  }
  const Tensor theirs = at::cat(expected), ours = leaf_lstm(inputs, weight, layout);
  expect_near(ours, theirs, 1e-12, "nodes");
  const auto a = torch::autograd::grad({ours}, {inputs, weight}, {g});
  const auto b = torch::autograd::grad({theirs}, {inputs, weight}, {g});
  for (size_t i = 0; i < 2; ++i) expect_near(a[i], b[i], 1e-11, "gradient");
}

// With estimators whose sample is relaxed nothing stays as it was: all pairs are computed.
TEST(CompositionTest, ARelaxedSampleMixesNodes) {
  const Layout layout(kLengths);
  const Estimator relaxed = parse_estimator("gumbel_softmax(tau=1,hard=false)");
  ASSERT_TRUE(traits(relaxed).relaxed);
  const Key key{.seed = 5};
  const Gradients soft = gradients(compose, layout, {.estimator = relaxed, .key = key});
  const Gradients hard = gradients(compose, layout, {.estimator = gumbel_softmax(1), .key = key});
  EXPECT_GT((soft.tree.root - hard.tree.root).abs().max().item<double>(), 1e-3);
  for (const Tensor& gradient : soft.of) EXPECT_TRUE(at::isfinite(gradient).all().item<bool>());
}

// One row alone, with the key of its place in the batch.
TEST(CompositionTest, ABatchIsItsSentencesOneAtATime) {
  for (const char* spec : {"gst(1.0)", "gumbel_softmax(1.0)", "reinmax(1.1)", "gumbel_rao(10)"}) {
    const Choice choice{.estimator = parse_estimator(spec), .key = {.seed = 6, .offset = 40}};
    at::manual_seed(3);
    const Layout layout(kLengths);
    const CompositionParameters p = some_parameters();
    const Tensor leaves = some_leaves(layout), places = layout.places(-1);
    const Tensor g = at::randn({layout.rows(), kWidth}, at::kDouble);
    const Tree all = compose(leaves, p, layout, choice);
    const Tensor g_leaves = torch::autograd::grad({all.root}, {leaves}, {g})[0];
    for (int64_t b = 0; b < layout.rows(); ++b) {
      const int64_t length = kLengths[static_cast<size_t>(b)];
      const Tensor mine = places[b].narrow(0, 0, length);
      const Tensor alone = leaves.detach().index_select(0, mine).requires_grad_();
      Choice same = choice;
      same.key.row0 = b;
      const Tree tree = compose(alone, p, Layout({length}), same);
      const std::string what = std::string(spec) + " row " + std::to_string(b);
      expect_near(tree.root, all.root.narrow(0, b, 1), 1e-12, what);
      for (size_t t = 0; t < tree.merged.size(); ++t) {
        EXPECT_EQ(tree.merged[t].item<int64_t>(), all.merged[t][b].item<int64_t>()) << what;
      }
      const Tensor mine_g = torch::autograd::grad({tree.root}, {alone}, {g.narrow(0, b, 1)})[0];
      expect_near(mine_g, g_leaves.index_select(0, mine), 1e-11, what + " gradient");
    }
  }
}

// The whole model in float32 with dropout off, as it trains.
TEST(ModelTest, ABatchHasTheScoresOfItsSentences) {
  at::manual_seed(8);
  const Model model({.width = 24, .dropout = 0, .embedding_sd = 1});
  const Layout layout(kLengths);
  const Tensor tokens = at::randint(16, {layout.tokens()}, at::kLong), places = layout.places(-1);
  const Choice choice{.estimator = gst(1.0), .key = {.seed = 2}};
  const Tensor scores =
      model.forward({layout, tokens, at::zeros({layout.rows()}, at::kLong)}, choice).scores;
  for (int64_t b = 0; b < layout.rows(); ++b) {
    const int64_t length = kLengths[static_cast<size_t>(b)];
    Choice same = choice;
    same.key.row0 = b;
    const Batch alone{Layout({length}), tokens.index_select(0, places[b].narrow(0, 0, length)),
                      at::zeros({1}, at::kLong)};
    expect_near(model.forward(alone, same).scores, scores.narrow(0, b, 1), 1e-5,
                "row " + std::to_string(b));
  }
}

TEST(ModelTest, GreedyEvaluationIsTheSameBits) {
  at::manual_seed(8);
  const Model model({.width = 24, .embedding_sd = 1});
  const Layout layout(kLengths);
  const Batch batch{layout, at::randint(16, {layout.tokens()}, at::kLong), {}};
  const at::NoGradGuard no_grad;
  const Outputs first = model.forward(batch, {}), second = model.forward(batch, {});
  EXPECT_TRUE(at::equal(first.scores, second.scores));
  for (size_t t = 0; t < first.merged.size(); ++t) {
    EXPECT_TRUE(at::equal(first.merged[t], second.merged[t]));
  }
}

// Dropout is there in training, by the generator alone, and never without one.
TEST(ModelTest, DropoutIsAFunctionOfItsGenerator) {
  at::manual_seed(8);
  const Model model({.width = 24, .embedding_sd = 1});
  const Layout layout(kLengths);
  const Batch batch{layout, at::randint(16, {layout.tokens()}, at::kLong), {}};
  const auto with = [&](uint64_t seed) {
    return model.forward(batch, {}, at::make_generator<at::CPUGeneratorImpl>(seed)).scores;
  };
  EXPECT_TRUE(at::equal(with(1), with(1)));
  EXPECT_FALSE(at::equal(with(1), with(2)));
  EXPECT_FALSE(at::equal(with(1), model.forward(batch, {}).scores));
}

// A row must not feel what happens in others: only its own root is differentiated.
TEST(CompositionTest, RowsThatEndedGetNoGradientFromOthers) {
  at::manual_seed(3);
  const Layout layout(kLengths);
  const CompositionParameters p = some_parameters();
  const Tensor places = layout.places(-1);
  for (const Estimator& e : discrete_estimators()) {
    const Tensor leaves = some_leaves(layout);
    const Tree tree = compose(leaves, p, layout, {.estimator = e, .key = {.seed = 1}});
    Tensor g = at::zeros({layout.rows(), kWidth}, at::kDouble);
    g[0].fill_(1);
    const Tensor g_leaves = torch::autograd::grad({tree.root}, {leaves}, {g})[0];
    const Tensor mine = places[0];
    EXPECT_GT(g_leaves.index_select(0, mine).abs().min().item<double>(), 0) << to_string(e);
    EXPECT_EQ(g_leaves.index_fill(0, mine, 0).abs().max().item<double>(), 0) << to_string(e);
  }
}

TEST(CompositionTest, ExtremeScoresGiveNoNaN) {
  const Layout layout(kLengths);
  for (const Estimator& e : discrete_estimators()) {
    at::manual_seed(3);
    const CompositionParameters p = some_parameters();
    const CompositionParameters steep{p.weight, p.bias, (p.query.detach() * 1e5).requires_grad_()};
    const Tensor leaves = some_leaves(layout);
    const Tree tree = compose(leaves, steep, layout, {.estimator = e, .key = {.seed = 1}});
    EXPECT_TRUE(at::isfinite(tree.root).all().item<bool>()) << to_string(e);
    for (const Tensor& gradient : torch::autograd::grad(
             {tree.root}, {leaves, steep.weight, steep.query}, {at::ones_like(tree.root)})) {
      EXPECT_TRUE(at::isfinite(gradient).all().item<bool>()) << to_string(e);
    }
  }
}

TEST(LayoutTest, PlacesMaskAndPredecessorsAreTheirDefinition) {
  const Layout layout({4, 2, 1});
  EXPECT_EQ(layout.tokens(), 7);
  EXPECT_EQ(layout.merges(), 4);
  EXPECT_TRUE(
      at::equal(layout.places(-1),
                at::tensor({0, 3, 5, 6, 1, 4, -1, -1, 2, -1, -1, -1}, at::kLong).view({3, 4})));
  EXPECT_TRUE(at::equal(layout.predecessors(), at::tensor({0, 1, 3, 5}, at::kLong)));
  const Tensor first = layout.mask(0), second = layout.mask(1);
  EXPECT_TRUE(
      at::equal(first.to(at::kLong), at::tensor({1, 1, 1, 1, 0, 0}, at::kLong).view({2, 3})));
  EXPECT_TRUE(at::equal(second.to(at::kLong), at::tensor({1, 1}, at::kLong).view({1, 2})));
}

// A mask must leave the caller's scores alone.
TEST(LayoutTest, TheMaskDoesNotChangeScores) {
  const Layout layout(kLengths);
  const Tensor scores = at::randn({layout.merging(0), 8}), before = scores.clone();
  sample(scores, gst(1.0), {.mask = layout.mask(0), .key = Key{}});
  EXPECT_TRUE(at::equal(scores, before));
}

}  // namespace
}  // namespace gradthru::experiments::listops
