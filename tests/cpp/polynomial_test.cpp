#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lab/fidelity.h"
#include "lab/functions.h"

// Polynomial programming: what is known of it by algebra. f(z) = |z - 0.45|^p of one binary
// variable with P(z = 1) = pi_0; gradients with respect to its first logit, over pi_0 pi_1.
namespace {

using at::Tensor;
using gradthru::parse_estimator;
using gradthru::lab::Problem;

constexpr double kTarget = 0.45;

/// One variable whose categories have the given probabilities.
Problem problem(double p, const std::vector<double>& pi) {
  Problem made;
  made.name = "polynomial";
  made.logits = at::tensor(pi, at::kDouble).log().view({1, 1, -1});
  made.f = gradthru::lab::polynomial(
      p, kTarget, gradthru::lab::polynomial_values(static_cast<int64_t>(pi.size())));
  return made;
}

double mean_slope(const char* spec, double p, double pi_0) {
  const auto got = gradthru::lab::measure(problem(p, {pi_0, 1 - pi_0}), parse_estimator(spec));
  return got.mean.view({-1})[0].item<double>() / (pi_0 * (1 - pi_0));
}

struct Known {
  double p, exact, reinmax;  // the slopes
};

/// Where pi_0 f'(1) + pi_1 f'(0) = 0.
double fixed_point(double p) {
  const double zero = std::pow(kTarget, p - 1), one = std::pow(1 - kTarget, p - 1);
  return zero / (zero + one);
}

class Polynomial : public testing::TestWithParam<Known> {};

TEST_P(Polynomial, StraightThroughRestsOffTheOptimum) {
  const double p = GetParam().p, pi_0 = fixed_point(p);
  for (const char* spec : {"st", "gst"}) {
    EXPECT_NEAR(mean_slope(spec, p, pi_0), 0, 1e-12) << spec;
    EXPECT_LT(mean_slope(spec, p, pi_0 - 0.01), -1e-3) << spec;
    EXPECT_GT(mean_slope(spec, p, pi_0 + 0.01), 1e-3) << spec;
  }
}

TEST_P(Polynomial, SlopesAreThoseOfTheAlgebra) {
  const Known& known = GetParam();
  for (const double pi_0 : {0.5, 0.2, 0.9}) {
    EXPECT_NEAR(mean_slope("exact", known.p, pi_0), known.exact, 5e-5);
    EXPECT_NEAR(mean_slope("reinmax", known.p, pi_0), known.reinmax, 5e-5);
    EXPECT_NEAR(mean_slope("zgr", known.p, pi_0), known.reinmax, 5e-5);
    EXPECT_NEAR(mean_slope("reinforce", known.p, pi_0), known.exact, 5e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Powers, Polynomial,
                         testing::Values(Known{1.5, 0.1060, 0.0531}, Known{2, 0.1000, 0.1000},
                                         Known{3, 0.0753, 0.1500}));

TEST(PolynomialOfManyCategories, ReinmaxIsExactForSquaresOnly) {
  for (const std::vector<double>& pi :
       {std::vector<double>{0.1, 0.2, 0.3, 0.4},
        std::vector<double>{0.3, 0.05, 0.1, 0.15, 0.1, 0.2, 0.04, 0.06}}) {
    const auto reinmax = parse_estimator("reinmax");
    EXPECT_LE(gradthru::lab::measure(problem(2, pi), reinmax).relative_bias.value, 1e-12);
    EXPECT_GE(gradthru::lab::measure(problem(3, pi), reinmax).relative_bias.value, 1e-3);
    EXPECT_GE(gradthru::lab::measure(problem(2, pi), parse_estimator("st")).relative_bias.value,
              1e-2);
    // A backward temperature above one is biased even for squares.
    EXPECT_GE(
        gradthru::lab::measure(problem(2, pi), parse_estimator("reinmax(1.3)")).relative_bias.value,
        1e-3);
  }
}

}  // namespace
