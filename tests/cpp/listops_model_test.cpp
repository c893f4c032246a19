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

}  // namespace
}  // namespace gradthru::experiments::listops
