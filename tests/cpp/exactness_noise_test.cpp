#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/draws.h"
#include "support/enumeration.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/statistics.h"
#include "support/tolerance.h"

// Statements about the rules whose gradient has noise of its own, and the limits of all rules.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using gradthru::Noise;
using gradthru::to_string;
using support::kLargestZ;
using support::Moments;
using support::Outcome;
using support::Row;

constexpr Key kKey{.seed = 4242, .offset = 100};
constexpr double kDifference = 1e-5;  // step of central differences
constexpr double kDifferenceTolerance = 1e-7;

/// d f / d logits by central differences.
template <typename Function>
Row central_differences(const Row& logits, const Function& f) {
  Row result(logits.size());
  for (size_t k = 0; k < logits.size(); ++k) {
    Row up = logits, down = logits;
    up[k] += kDifference;
    down[k] -= kDifference;
    result[k] = (f(up) - f(down)) / (2 * kDifference);
  }
  return result;
}

TEST(Differences, RelaxedGumbelSoftmaxHasTheTrueGradientOfItsForward) {
  support::Random random(1);
  for (Noise noise : {Noise::scaled_sum, Noise::scaled_logits})
    for (double tau : {0.5, 1.0, 2.0}) {
      const Estimator e =
          gradthru::gumbel_softmax({.tau_f = tau, .tau_b = tau, .noise = noise, .hard = false});
      const Row logits = random.normals(5, support::kLogitScale), b = random.normals(5);
      const auto relaxed = [&](const Row& at) {
        return support::row_of(
            gradthru::sample(support::matrix_from({at}), e, {.key = kKey}).onehot);
      };
      const auto f = [&](const Row& at) {  // b.s + (s.s)^2
        const Row s = relaxed(at);
        return reference::dot(b, s) + std::pow(reference::dot(s, s), 2);
      };
      const Row s = relaxed(logits);
      const Row g = reference::plus(b, s, 4 * reference::dot(s, s));
      const Outcome run =
          support::run(support::matrix_from({logits}), e, {.key = kKey}, support::matrix_from({g}));
      EXPECT_LE(
          support::max_abs_difference(support::row_of(run.grad), central_differences(logits, f)),
          kDifferenceTolerance * 5)
          << to_string(e);
    }
}

bool away_from_ties(const Row& logits, double gap, const Estimator& e) {
  Row sorted = logits;
  std::sort(sorted.rbegin(), sorted.rend());
  bool away = sorted[0] - sorted[1] > 100 * kDifference;
  for (double logit : logits)
    away = away && std::abs(logit - (sorted[0] - e.tau_f.start * gap)) > 100 * kDifference;
  return away;
}

TEST(Differences, AttachedGstHasTheTrueGradientOfItsSurrogate) {
  support::Random random(2);
  int compared = 0;
  while (compared < 60) {
    const double gap = compared % 3 == 0 ? gradthru::kGapP : random.uniform(0.2, 2);
    const Estimator e = gradthru::gst({.tau_f = random.uniform(0.4, 2.5),
                                       .tau_b = random.uniform(0.4, 2.5),
                                       .gap = gap,
                                       .detach = false});
    const reference::Settings settings = support::settings_of(e);
    const Row logits = random.normals(5, support::kLogitScale), g = random.normals(5);
    const int64_t index = random.integer(0, 4);
    const double fixed_gap = reference::gst_gap(
        reference::softmax(logits, e.tau_f.start)[static_cast<size_t>(index)], settings);
    if (!away_from_ties(logits, fixed_gap, e)) continue;
    ++compared;
    const auto f = [&](const Row& at) {
      const Row a = reference::gst_perturbed(at, index, fixed_gap, settings);
      return reference::dot(g, reference::softmax(a, e.tau_b.start));
    };
    const Row grad = support::gradients_by_outcome(
        logits, e, support::GradientTable(5, g))[static_cast<size_t>(index)];
    EXPECT_LE(support::max_abs_difference(grad, central_differences(logits, f)),
              kDifferenceTolerance * 5)
        << to_string(e);
  }
}

TEST(Gst, PerturbedArgmaxIsTheSampleWithItsGap) {
  support::Random random(3);
  for (double gap : {0.0, 0.5, 1.0, 3.0, gradthru::kGapP}) {
    const Estimator e = gradthru::gst({.tau_f = 1.7, .tau_b = 0.6, .gap = gap});
    const reference::Settings settings = support::settings_of(e);
    for (int i = 0; i < 200; ++i) {
      const Row logits = random.normals(6, support::kLogitScale);
      const int64_t index = random.integer(0, 5);
      const double g =
          reference::gst_gap(reference::softmax(logits, 1.7)[static_cast<size_t>(index)], settings);
      Row a = reference::gst_perturbed(logits, index, g, settings);
      const double top = a[static_cast<size_t>(index)];
      a.erase(a.begin() + index);
      EXPECT_GE(top - *std::max_element(a.begin(), a.end()), 1.7 * g - 1e-12);
    }
  }
}

TEST(Gst, IsStWhereTheSampleAlreadyLeads) {
  support::Random random(4);
  const at::Tensor index = random.integers({50}, 0, 5);
  const at::Tensor logits =
      random.normal({50, 6}).clamp(-2, 2) + 6 * at::one_hot(index, 6).to(at::kDouble);
  const at::Tensor g = random.normal({50, 6});
  for (double gap : {0.0, 1.0, 1.3}) {
    const Estimator gst = gradthru::gst({.tau_f = 1.5, .tau_b = 0.8, .gap = gap});
    const Estimator st = gradthru::st({.tau_f = 1.5, .tau_b = 0.8});
    support::expect_near(support::run(logits, gst, {.index = index}, g).grad,
                         support::run(logits, st, {.index = index}, g).grad,
                         1e-14 * support::max_abs(g), to_string(gst));
  }
}

TEST(Gst, GapByProbabilityIsTheMeanLeadOfTheWinner) {
  const Row probs = {.5, .3, .15, .05};
  std::vector<std::vector<double>> leads(4);
  for (uint64_t row = 0; row < 2000000; ++row) {
    Row perturbed(4);
    for (uint64_t k = 0; k < 4; ++k)
      perturbed[k] = std::log(probs[k]) + reference::gumbel_of(reference::cell(11, 0, row, k));
    const size_t winner = static_cast<size_t>(reference::argmax(perturbed));
    std::sort(perturbed.rbegin(), perturbed.rend());
    leads[winner].push_back(perturbed[0] - perturbed[1]);
  }
  reference::Settings settings;
  settings.gap_from_probability = true;
  for (size_t x = 0; x < 4; ++x)
    EXPECT_LE(std::abs(support::z_score(support::moments(leads[x]),
                                        reference::gst_gap(probs[x], settings))),
              kLargestZ)
        << x;
}

TEST(Gst, GapByProbabilityKeepsItsDigitsForALikelySample) {
  // Two categories: the mean lead of the winner exceeds the lead of its logit by little when it is
  // likely, and which of the two is larger decides what the attached gradient is.
  const at::Tensor leads = at::linspace(1, 11, 2001, at::kFloat);
  const at::Tensor logits = at::stack({leads, at::zeros_like(leads)}, 1);
  const at::Tensor g = at::stack({at::ones_like(leads), at::zeros_like(leads)}, 1);
  const Estimator e = gradthru::gst({.gap = gradthru::kGapP, .detach = false});
  const at::Tensor index = at::zeros({2001}, at::kLong);
  std::vector<Row> expected;
  for (const Row& row : support::rows_of(logits))
    expected.push_back(support::reference_grad(row, 0, {1, 0}, e, kKey, 0));
  support::expect_near(support::run(logits, e, {.index = index}, g).grad,
                       support::matrix_from(expected),
                       support::gradient_tolerance(at::kFloat, 1, e, 1), "categorical");
  support::expect_near(
      support::run_binary(leads, e, {.given = at::ones_like(leads)}, at::ones_like(leads)).grad,
      support::matrix_from(expected).select(1, 0), support::gradient_tolerance(at::kFloat, 1, e, 1),
      "binary");
}

TEST(Conditional, MixedOverTheIndexTheNoiseIsIndependentGumbel) {
  const Row logits = {.5, -1, 0, 1.5};
  std::vector<std::vector<double>> noise(4);
  for (uint64_t row = 0; row < 200000; ++row) {
    const double u = reference::uniform_of(reference::cell(12, 0, row, 0));
    Row exponentials;
    for (uint64_t k = 0; k < 4; ++k)
      exponentials.push_back(reference::exponential_of(reference::cell(12, 1, row, k)));
    const Row a = reference::conditional_perturbed(logits, reference::inverse_cdf(logits, 1, u),
                                                   exponentials);
    for (size_t k = 0; k < 4; ++k) noise[k].push_back(a[k] - logits[k]);
  }
  const auto cdf = [](double x) { return std::exp(-std::exp(-x)); };
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_GE(support::kolmogorov_p(noise[k], cdf), support::kSmallestP) << k;
    for (size_t j = 0; j < k; ++j) {
      std::vector<double> products;
      const Moments mk = support::moments(noise[k]), mj = support::moments(noise[j]);
      for (size_t n = 0; n < noise[k].size(); ++n)
        products.push_back((noise[k][n] - mk.mean) * (noise[j][n] - mj.mean));
      EXPECT_LE(std::abs(support::z_score(support::moments(products), 0)), kLargestZ) << k << j;
    }
  }
}

TEST(Conditional, FiniteForSaturatedLogits) {
  for (int64_t index : {0, 1, 2}) {
    const Row a = reference::conditional_perturbed({1e4, -1e4, 0}, index, {.3, .9, 2});
    EXPECT_TRUE(std::isfinite(a[0]) && std::isfinite(a[1]) && std::isfinite(a[2]));
    EXPECT_EQ(reference::argmax(a), index);
  }
}

class GumbelRao : public testing::TestWithParam<Noise> {
 protected:
  static Estimator rao(int64_t samples) {
    return gradthru::gumbel_rao(
        {.tau_f = 1.5, .tau_b = 0.7, .noise = GetParam(), .samples = samples});
  }
  support::Random random{5};
  Row logits = {.5, -1, 0, 1.5};
  support::GradientTable table = {random.normals(4), random.normals(4), random.normals(4),
                                  random.normals(4)};
};

TEST_P(GumbelRao, HasTheMeanOfStGs) {
  const Estimator st_gs =
      gradthru::gumbel_softmax({.tau_f = 1.5, .tau_b = 0.7, .noise = GetParam()});
  const auto plain = support::gradient_moments(logits, st_gs, Key{.seed = 1}, table, 400000);
  for (int64_t samples : {1, 4}) {
    const auto averaged =
        support::gradient_moments(logits, rao(samples), Key{.seed = 2}, table, 400000);
    for (size_t k = 0; k < 4; ++k) {
      EXPECT_LE(std::abs(support::z_score(averaged[k], plain[k])), kLargestZ) << samples << k;
      EXPECT_LE(averaged[k].variance, 1.03 * plain[k].variance) << samples << k;
    }
  }
  const auto single = support::gradient_moments(logits, rao(1), Key{.seed = 3}, table, 400000);
  for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(single[k].variance / plain[k].variance, 1, 0.03) << k;
}

TEST_P(GumbelRao, ErrorFallsAsTheSquareRootOfItsDraws) {
  constexpr int64_t kDraws = 20000;
  const at::Tensor input = support::tensor_of(logits).expand({kDraws, 4});
  const at::Tensor g = support::tensor_of(table[0]).expand({kDraws, 4});
  const at::Tensor index = at::full({kDraws}, 2, at::kLong);
  std::vector<double> log_errors;
  for (int64_t samples : {1, 4, 16, 64}) {
    const at::Tensor grad =
        support::run(input, rao(samples), {.index = index, .key = kKey}, g).grad;
    log_errors.push_back(0.5 * std::log(grad.var(0, true).sum().item<double>()));
  }
  const double slope =  // least squares against log M = 0, 1, 2, 3 times log 4
      (3 * (log_errors[3] - log_errors[0]) + (log_errors[2] - log_errors[1])) /
      (10 * std::log(4.0));
  EXPECT_NEAR(slope, -0.5, 0.06);
}

INSTANTIATE_TEST_SUITE_P(Conventions, GumbelRao,
                         testing::Values(Noise::scaled_sum, Noise::scaled_logits),
                         [](const auto& tested) {
                           return tested.param == Noise::scaled_sum ? "scaled_sum"
                                                                    : "scaled_logits";
                         });

/// The mean of the binary gumbel_rao (scaled_sum) at g = 1 given b, by the midpoint rule over u.
double rao_mean_by_quadrature(double a, int b, double tau_b) {
  constexpr int kPoints = 2000000;
  double sum = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double u = (i + 0.5) / kPoints;
    const double z = reference::conditional_logit(a, b, std::log(u), std::log1p(-u));
    sum += reference::sigmoid_slope(z / tau_b) / tau_b;
  }
  return sum / kPoints;
}

TEST(Limit, ColdGumbelRaoIsZgr) {
  constexpr double a = 0.8;
  for (double tau_b : {.02, .004})
    for (int b : {0, 1}) {
      const double mean = rao_mean_by_quadrature(a, b, tau_b);
      const double zgr = reference::zgr_binary(a, b, 1, {}, {});
      EXPECT_LE(std::abs(mean - zgr), 0.2 * tau_b) << tau_b << b;
      const at::Tensor logits = at::full({400000}, a, at::kDouble);
      const Estimator e = gradthru::gumbel_rao({.tau = tau_b, .samples = 1});
      const gradthru::BinaryOptions options = {.given = at::full_like(logits, b), .key = kKey};
      const at::Tensor grad = support::run_binary(logits, e, options, at::ones_like(logits)).grad;
      EXPECT_LE(std::abs(support::z_score(support::moments(support::row_of(grad)), mean)),
                kLargestZ)
          << tau_b << b;
    }
}

constexpr double kHot = 1e8, kLimit = 1e-5;

struct Given {
  support::Random random{6};
  at::Tensor logits = random.normal({40, 5}, support::kLogitScale);
  at::Tensor g = random.normal({40, 5});
  at::Tensor index = random.integers({40}, 0, 4);
  at::Tensor grad(const Estimator& e) const {
    return support::run(logits, e, {.index = index, .key = kKey}, g).grad;
  }
  at::Tensor onehot() const { return at::one_hot(index, 5).to(at::kDouble); }
  at::Tensor delta() const { return g - g.gather(1, index.unsqueeze(1)); }
  double tolerance() const { return kLimit * support::max_abs(g); }
};

TEST(Limit, HotBackwardIsTheCentredGradient) {
  const Given cases;
  const at::Tensor expected = (cases.g - cases.g.mean(1, true)) / 5;
  for (const Estimator& e : {gradthru::st({.tau_b = kHot}), gradthru::gst({.tau_b = kHot}),
                             gradthru::gumbel_softmax({.tau_b = kHot}),
                             gradthru::gumbel_rao({.tau_b = kHot, .samples = 2})})
    support::expect_near(kHot * cases.grad(e), expected, cases.tolerance(), to_string(e));
}

TEST(Limit, HotZgr) {
  const Given cases;
  const at::Tensor g_x = cases.g.gather(1, cases.index.unsqueeze(1));
  const at::Tensor expected =
      0.5 * (cases.delta() / 5 + cases.onehot() * (g_x - cases.g.mean(1, true)));
  support::expect_near(kHot * cases.grad(gradthru::zgr({.tau_f = kHot})), expected,
                       cases.tolerance(), "zgr");
}

TEST(Limit, HotReinmaxHasAUniformBackwardDistribution) {
  const Given cases;
  const double tau_f = 0.8;
  const at::Tensor delta = cases.delta(), p = (cases.logits / tau_f).softmax(1);
  const at::Tensor mean = delta.mean(1, true), p_delta = (p * delta).sum(1, true);
  const at::Tensor expected =
      ((delta - mean / 2) / 5 - mean / 2 * cases.onehot() - p * (delta - p_delta) / 2) / tau_f;
  support::expect_near(cases.grad(gradthru::reinmax({.tau_f = tau_f, .tau_b = kHot})), expected,
                       cases.tolerance(), "reinmax");
}

TEST(Limit, ColdBackwardVanishes) {
  const Given cases;
  for (const char* spec : {"st(1e-6)", "gst(tau_b=1e-6)", "gumbel_softmax(1e-7)",
                           "gumbel_softmax(tau_f=1,tau_b=1e-6)", "gumbel_rao(3,tau=1e-7)"})
    EXPECT_LE(support::max_abs(cases.grad(gradthru::parse_estimator(spec))), cases.tolerance())
        << spec;
}

TEST(Limit, ColdGstWithoutGapDivergesAtItsTie) {
  const Given cases;
  const double cold = 1e-7;
  const at::Tensor largest = cases.logits.argmax(1);
  const at::Tensor scaled = cold * cases.grad(gradthru::gst({.tau_b = cold, .gap = 0}));
  const at::Tensor g_x = cases.g.gather(1, cases.index.unsqueeze(1)).squeeze(1);
  const at::Tensor g_largest = cases.g.gather(1, largest.unsqueeze(1)).squeeze(1);
  support::expect_near(scaled.gather(1, cases.index.unsqueeze(1)).squeeze(1), (g_x - g_largest) / 4,
                       cases.tolerance(), "gst(0)");
}

TEST(Limit, ForwardTemperature) {
  support::Random random(7);
  const at::Tensor logits = random.normal({500, 6});
  const Estimator cold = gradthru::st({.tau_f = 1e-6}), hot = gradthru::st({.tau_f = kHot});
  support::expect_same_bits(gradthru::sample(logits, cold, {.key = kKey}).index, logits.argmax(1),
                            "cold");
  const auto indices = support::draw_indices(logits[0], hot, kKey, 20000);
  EXPECT_GE(support::chi_square_p(support::count_indices(indices, 6), Row(6, 1.0 / 6)),
            support::kSmallestP);
}

}  // namespace
