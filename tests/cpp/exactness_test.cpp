#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/enumeration.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/tolerance.h"

// Means by enumeration of the outcomes and the identities between the rules, all in double through
// the public interface. The wrong side of each claim is measured too: it shows that the test can
// see.
namespace {

using gradthru::Estimator;
using gradthru::Exact;
using gradthru::Key;
using gradthru::to_string;
using support::expectation_error;
using support::Outcome;
using support::Row;

constexpr Key kKey{.seed = 77, .offset = 7};
constexpr double kMeasurable = 1e-3;

/// Rows of random logits and gradients with given indices, and temperatures from [.4, 2.5].
struct Cases {
  support::Random random;
  explicit Cases(uint64_t seed) : random(seed) {}
  double tau() { return random.uniform(0.4, 2.5); }

  at::Tensor logits, g, index;
  void next(int64_t categories, int64_t rows = 40) {
    logits = random.normal({rows, categories}, support::kLogitScale);
    g = random.normal({rows, categories});
    index = random.integers({rows}, 0, categories - 1);
  }
  at::Tensor grad(const Estimator& e) const { return grad(e, g); }
  at::Tensor grad(const Estimator& e, const at::Tensor& incoming) const {
    return support::run(logits, e, {.index = index, .key = kKey}, incoming).grad;
  }
  double scale() const { return support::max_abs(g); }
};

TEST(Identity, ReinmaxAtEqualTemperaturesIsZgr) {
  Cases cases(1);
  for (int64_t categories : {2, 3, 5, 8})
    for (int i = 0; i < 10; ++i) {
      const double tau = cases.tau();
      cases.next(categories);
      support::expect_near(tau * cases.grad(gradthru::reinmax({.tau_f = tau, .tau_b = tau})),
                           tau * cases.grad(gradthru::zgr({.tau_f = tau})), 1e-15 * cases.scale(),
                           "tau " + std::to_string(tau));
    }
}

TEST(Identity, ReinmaxIsItsTwoJacobianForm) {
  Cases cases(2);
  for (int i = 0; i < 10; ++i) {
    cases.next(6);
    const Estimator e = gradthru::reinmax({.tau_f = cases.tau(), .tau_b = cases.tau()});
    const auto rows = support::rows_of(cases.logits), gs = support::rows_of(cases.g);
    const auto drawn = support::indices_of(cases.index);
    std::vector<Row> expected;
    for (size_t n = 0; n < rows.size(); ++n)
      expected.push_back(support::reference_grad(rows[n], drawn[n], gs[n], e, kKey, 0));
    support::expect_near(e.tau_f.start * cases.grad(e),
                         e.tau_f.start * support::matrix_from(expected), 1e-14 * cases.scale(),
                         to_string(e));
  }
}

TEST(Identity, NamedCoincidences) {
  Cases cases(3);
  for (int i = 0; i < 10; ++i) {
    const double tau = cases.tau();
    cases.next(5);
    const double tolerance = 1e-14 * cases.scale() / tau;
    const at::Tensor st = cases.grad(gradthru::st({.tau_f = tau, .tau_b = tau}));
    const at::Tensor darn = cases.grad(gradthru::darn({.tau_f = tau}));
    const at::Tensor zgr = cases.grad(gradthru::zgr({.tau_f = tau}));
    const auto family = [&](double alpha) {
      return cases.grad(gradthru::st_zgr({.tau_f = tau, .alpha = alpha}));
    };
    support::expect_near(zgr, 0.5 * (st + darn), tolerance, "zgr");
    support::expect_near(family(0), st, tolerance, "alpha 0");
    support::expect_near(family(1), zgr, tolerance, "alpha 1");
    support::expect_near(family(2), darn, tolerance, "alpha 2");
    support::expect_near(cases.grad(gradthru::reinmax(tau)),
                         cases.grad(gradthru::reinmax({.tau_f = 1, .tau_b = tau})), 0, "reinmax");
    support::expect_near(cases.grad(gradthru::gst({.tau_f = 2, .tau_b = tau, .consistent = false})),
                         cases.grad(gradthru::st({.tau_f = 2, .tau_b = tau})), tolerance,
                         "gst, inconsistent");
  }
}

std::vector<Estimator> projected_sweep() {
  std::vector<Estimator> projected = support::sweep();
  std::erase_if(projected,
                [](const Estimator& e) { return e.method == gradthru::Method::identity; });
  return projected;
}

/// The smallest probability of a drawn category: what some methods divide by.
double division(const Cases& cases, const Estimator& e) {
  if (!support::divides_by_probability(e)) return 1;
  const at::Tensor probs = (cases.logits / e.tau_f.start).softmax(-1);
  return probs.gather(-1, cases.index.unsqueeze(-1)).min().item<double>();
}

TEST(Identity, GradientsSumToZero) {
  Cases cases(4);
  cases.next(6);
  for (const Estimator& e : projected_sweep())
    support::expect_near(cases.grad(e).sum(-1), at::zeros({40}, at::kDouble),
                         1e-12 * cases.scale() / division(cases, e), to_string(e));
}

TEST(Identity, AConstantAddedToGChangesNothing) {
  Cases cases(5);
  cases.next(6);
  for (const Estimator& e : projected_sweep())
    support::expect_near(cases.grad(e, cases.g + 10), cases.grad(e),
                         1e-12 * (cases.scale() + 10) / division(cases, e), to_string(e));
}

TEST(Identity, NotEvenALargeConstantThatTheDifferencesDrop) {
  // g in steps of 2^-10, so that adding 2^40 to it is exact: only differences of g keep its digits.
  Cases cases(6);
  cases.next(6);
  const at::Tensor g = (cases.g * 1024).round() / 1024;
  for (const Estimator& e : projected_sweep())
    support::expect_near(cases.grad(e, g + std::ldexp(1, 40)), cases.grad(e, g),
                         1e-11 * cases.scale() / division(cases, e), to_string(e));
}

TEST(Identity, NoDigitsAreLostAtADominantSample) {
  // pi_x = 1 - 4e-9: the gradient is tiny, and its relative error must be too.
  const Row logits = {20, 0, -0.5, 0.3}, g = {0.9, -2, 0.5, 3};
  for (const char* spec : {"st", "darn", "zgr", "st_zgr(0.5)", "reinmax(1.3)", "gst"}) {
    const Estimator e = gradthru::parse_estimator(spec);
    const Row grad = support::gradients_by_outcome(logits, e, {g, g, g, g})[0];
    const Row probs = reference::softmax(logits), q = reference::softmax(logits, e.tau_b.start);
    const Row delta = reference::plus(g, Row(4, g[0]), -1);
    for (size_t k = 1; k < 4; ++k) {
      EXPECT_NEAR(grad[k], support::reference_grad(logits, 0, delta, e, kKey, 0)[k],
                  1e-12 * (probs[k] + q[k]))
          << spec << k;
    }
  }
}

TEST(Mean, ExactForTheClassOfTheTraits) {
  for (const Estimator& e : support::discrete_only_sweep())
    for (int degree = 1; degree <= static_cast<int>(gradthru::traits(e).exact); ++degree)
      EXPECT_LE(expectation_error(e, degree, 7),
                e.method == gradthru::Method::reinmax_uniform ? 1e-11 : 1e-13)
          << to_string(e) << " degree " << degree;
}

/// Without consistency gst is st, which is exact at equal temperatures: more than gst claims.
std::vector<Estimator> strictly_classified_sweep() {
  std::vector<Estimator> estimators = support::discrete_only_sweep();
  std::erase_if(estimators, [](const Estimator& e) { return !e.consistent; });
  return estimators;
}

TEST(Mean, MeasurablyNotExactOneClassAbove) {
  for (const Estimator& e : strictly_classified_sweep()) {
    const int above = static_cast<int>(gradthru::traits(e).exact) + 1;
    EXPECT_GT(expectation_error(e, above, 8), kMeasurable) << to_string(e) << " degree " << above;
  }
}

TEST(Mean, StraightThroughIsExactForLinearOnlyAtEqualTemperatures) {
  for (double tau : {0.5, 1.0, 2.0}) {
    EXPECT_LE(expectation_error(gradthru::st({.tau_f = tau, .tau_b = tau}), 1, 9), 1e-13);
    EXPECT_GT(expectation_error(gradthru::st({.tau_f = tau, .tau_b = 2 * tau}), 1, 9), kMeasurable);
  }
}

TEST(Mean, ReinmaxIsExactForQuadraticAndNotForCubic) {
  for (const Estimator& e : {gradthru::reinmax(1), gradthru::zgr()}) {
    EXPECT_LE(expectation_error(e, 2, 10), 1e-13) << to_string(e);
    EXPECT_GT(expectation_error(e, 3, 10), kMeasurable) << to_string(e);
  }
}

TEST(Mean, OfDecoupledStAndReinmaxForLinear) {
  support::Random random(11);
  for (int i = 0; i < 10; ++i) {
    const double tau_f = random.uniform(0.4, 2.5), tau_b = random.uniform(0.4, 2.5);
    const Row logits = random.normals(5, support::kLogitScale), g = random.normals(5);
    const Row p = reference::softmax(logits, tau_f), q = reference::softmax(logits, tau_b);
    const support::GradientTable constant(5, g);
    const Row st =
        support::mean_gradient(logits, gradthru::st({.tau_f = tau_f, .tau_b = tau_b}), constant);
    const Row expected_st = reference::scaled(reference::jacobian_times(q, g), 1 / tau_b);
    EXPECT_LE(support::max_abs_difference(st, expected_st), 1e-13 * 3);
    const Row reinmax = support::mean_gradient(
        logits, gradthru::reinmax({.tau_f = tau_f, .tau_b = tau_b}), constant);
    const Row gap = reference::plus(p, q, -1);
    const Row expected_reinmax = reference::scaled(
        reference::plus(reference::jacobian_times(q, g), gap, 0.5 * reference::dot(g, gap)),
        1 / tau_f);
    EXPECT_LE(support::max_abs_difference(reinmax, expected_reinmax), 1e-13 * 3);
  }
}

TEST(Mean, OfZgrIsTheTrapezoidRuleForAnyGradientTable) {
  support::Random random(12);
  for (int64_t categories : {2, 3, 5, 8}) {
    const size_t K = static_cast<size_t>(categories);
    const Row logits = random.normals(categories, support::kLogitScale);
    const Row p = reference::softmax(logits);
    support::GradientTable g;
    for (size_t x = 0; x < K; ++x) g.push_back(random.normals(categories));
    Row expected(K, 0.0);
    for (size_t k = 0; k < K; ++k) {
      expected[k] = p[k] / 2 * (g[k][k] - reference::dot(g[k], p));
      for (size_t j = 0; j < K; ++j) expected[k] += p[k] * p[j] / 2 * (g[j][k] - g[j][j]);
    }
    const Row mean = support::mean_gradient(logits, gradthru::zgr(), g);
    EXPECT_LE(support::max_abs_difference(mean, expected), 1e-11);
  }
}

struct PolynomialProgram {
  double power, floor, loss_at_half, stationary, loss_there, reinmax_slope, exact_slope;
};

TEST(PolynomialProgramming, StatedNumbers) {  // f(b) = |b - .45|^power
  for (const PolynomialProgram& row :
       {PolynomialProgram{1.5, .301869, .354880, .474937, .352223, .053100, .106022},
        PolynomialProgram{2, .202500, .252500, .450000, .247500, .100000, .100000},
        PolynomialProgram{3, .091125, .128750, .400990, .121300, .150000, .075250}}) {
    const double f1 = std::pow(.55, row.power), f0 = std::pow(.45, row.power);
    const double slope1 = row.power * std::pow(.55, row.power - 1);
    const double slope0 = -row.power * std::pow(.45, row.power - 1);
    const auto mean = [&](const Estimator& e, double P) {
      const Row logits = {std::log(P), std::log1p(-P)};
      return support::mean_gradient(logits, e, {{slope1, 0}, {slope0, 0}})[0] / (P * (1 - P));
    };
    constexpr double kPrinted = 1e-6;
    EXPECT_NEAR(f0, row.floor, kPrinted);
    EXPECT_NEAR((f0 + f1) / 2, row.loss_at_half, kPrinted);
    EXPECT_NEAR(row.stationary * f1 + (1 - row.stationary) * f0, row.loss_there, kPrinted);
    EXPECT_NEAR(mean(gradthru::st(), row.stationary), 0, 5e-6);
    EXPECT_NEAR(mean(gradthru::reinmax(), .3), row.reinmax_slope, kPrinted);
    EXPECT_NEAR(f1 - f0, row.exact_slope, kPrinted);
  }
}

}  // namespace
