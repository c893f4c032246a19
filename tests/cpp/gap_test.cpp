#include "lab/gap.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gradthru/categorical.h"
#include "lab/builtin_problems.h"
#include "lab/fidelity.h"
#include "support/refusal.h"

// The gradient gap: surrogates are those that the estimators differentiate, and the gap is what its
// definition says.
namespace {

using at::Tensor;
using gradthru::parse_estimator;
using gradthru::lab::builtin_problem;
using gradthru::lab::gradient_gaps;
using gradthru::lab::surrogate;

class Surrogate : public testing::TestWithParam<const char*> {};

TEST_P(Surrogate, HasTheGradientOfTheEstimator) {
  const auto e = parse_estimator(GetParam());
  const gradthru::Key key{.seed = 7};
  const Tensor logits = (at::randn({200, 3, 5}, at::kDouble) * 2).requires_grad_();
  const Tensor g = at::randn({200, 3, 5}, at::kDouble);
  const auto drawn = gradthru::sample(logits, e, {.key = key});
  const Tensor theirs = torch::autograd::grad({drawn.onehot}, {logits}, {g})[0];
  const Tensor s = surrogate(logits, e, drawn.index, key);
  const Tensor ours = torch::autograd::grad({s}, {logits}, {g})[0];
  EXPECT_LE((ours - theirs).abs().max().item<double>(), 1e-12);
  EXPECT_LE((s.sum(-1) - 1).abs().max().item<double>(), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Methods, Surrogate,
                         testing::Values("st", "st(tau_f=0.5,tau_b=1.5)", "gst", "gst(p,tau=0.7)",
                                         "gst(0.3)", "gst(tau_f=0.5,tau_b=0.8)",
                                         "gst(consistent=false)", "gst(detach=false)",
                                         "gumbel_softmax", "gumbel_softmax(0.4)",
                                         "gumbel_softmax(tau_f=0.5,tau_b=1.2)"));

/// f(z) = sum of a_i z_i^2 / 2 for one variable: the gap is J_s (a o (D - s)).
TEST(GradientGap, IsThatOfItsDefinition) {
  gradthru::lab::Problem p;
  p.name = "squares";
  p.logits = at::tensor({0.3, -0.6, 1.1}, at::kDouble).view({1, 1, 3});
  const Tensor a = at::tensor({1.0, -2.0, 3.0}, at::kDouble);
  p.f = [a](const Tensor& z) { return (z.square() * a).sum(-1).sum(-1) / 2; };
  const gradthru::Key key{.seed = 3};
  const auto e = parse_estimator("st");
  const Tensor gaps = gradient_gaps(p, e, 50, key);
  const Tensor s = at::softmax(p.logits, -1).view({3});
  const Tensor index =
      gradthru::sample(p.logits.expand({50, 1, 1, 3}).contiguous(), e, {.key = key}).index;
  for (int64_t i = 0; i < 50; ++i) {
    const Tensor D = at::one_hot(index.view({50})[i], 3).to(at::kDouble);
    const Tensor g = a * (D - s);
    const Tensor expected = (s * (g - (s * g).sum())).norm();
    EXPECT_NEAR(gaps[i].item<double>(), expected.item<double>(), 1e-12);
  }
}

TEST(GradientGap, IsZeroForLinearFunctionsOnly) {
  for (const char* spec : {"st", "gst", "gumbel_softmax(0.5)"}) {
    const auto e = parse_estimator(spec);
    EXPECT_LE(gradient_gaps(builtin_problem("linear", {}), e, 64, {.seed = 0}).max().item<double>(),
              1e-12);
    EXPECT_GE(
        gradient_gaps(builtin_problem("quadratic", {}), e, 64, {.seed = 0}).mean().item<double>(),
        1e-3);
  }
}

TEST(GradientGap, IsMeasuredWhereAskedForAndPossible) {
  const auto p = builtin_problem("quadratic", {});
  gradthru::lab::FidelityOptions options;
  options.draws = 100;  // not a multiple of the groups
  EXPECT_FALSE(gradthru::lab::measure(p, parse_estimator("st"), options).gradient_gap);
  options.gradient_gap = true;
  EXPECT_FALSE(gradthru::lab::measure(p, parse_estimator("reinmax"), options).gradient_gap);
  const auto got = gradthru::lab::measure(p, parse_estimator("st"), options);
  ASSERT_TRUE(got.gradient_gap);
  EXPECT_LT(got.gradient_gap->low, got.gradient_gap->value);
  const Tensor gaps = gradient_gaps(p, parse_estimator("st"), 96, options.key);
  EXPECT_NEAR(got.gradient_gap->value, (gaps.mean() / got.exact_gradient.norm()).item<double>(),
              1e-12);
}

TEST(GradientGap, RefusesWhatHasNone) {
  support::expect_refused(
      [] { gradient_gaps(builtin_problem("linear", {}), parse_estimator("zgr"), 8, {.seed = 0}); },
      "wanted st, gst or gumbel_softmax, got zgr");
}

}  // namespace
