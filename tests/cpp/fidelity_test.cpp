#include "lab/fidelity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "gradthru/expectation.h"
#include "lab/builtin_problems.h"
#include "lab/exact.h"
#include "reference/score.h"
#include "support/enumeration.h"
#include "support/refusal.h"
#include "support/tolerance.h"

// The lab: exact gradients against finite sums written out, traits by enumeration over several
// variables, and what is sampled against what is enumerated.
namespace {

using gradthru::Estimator;
using gradthru::Exact;
using gradthru::Function;
using gradthru::parse_estimator;
using gradthru::lab::builtin_problem;
using gradthru::lab::Fidelity;
using gradthru::lab::measure;
using gradthru::lab::Problem;
using gradthru::lab::ProblemSize;
using reference::States;
using reference::Table;
using support::expect_refused;

const std::vector<std::string> kNames = gradthru::lab::builtin_names();

at::Tensor slow_exact_gradient(const Problem& p, double tau) {
  const Table logits = support::rows_of(p.logits[0]);
  const auto value = [&](const States& x) {
    at::Tensor z = at::zeros({1, 1, p.L(), p.K()}, at::kDouble);
    for (size_t l = 0; l < x.size(); ++l) z[0][0][static_cast<int64_t>(l)][x[l]] = 1;
    return p.f(z).item<double>();
  };
  return support::matrix_from(reference::exact_gradient(logits, tau, value)).unsqueeze(0);
}

TEST(ExactGradient, IsTheSumOverAllStates) {
  for (const std::string& name : kNames)
    for (const double tau : {1.0, 0.6}) {
      const Problem p =
          builtin_problem(name, {.L = 3, .K = name == "polynomial" ? 2 : 3, .p = 1.5});
      const at::Tensor expected = slow_exact_gradient(p, tau);
      support::expect_near(gradthru::lab::exact_gradient(p, tau), expected, 1e-12, name);
      Problem enumerated = p;
      enumerated.known_gradient = nullptr;
      support::expect_near(gradthru::lab::exact_gradient(enumerated, tau), expected, 1e-12, name);
    }
}

TEST(ExactGradient, OfABatchIsThatOfEachRow) {
  const Problem one = builtin_problem("cubic", {.L = 2, .K = 3, .seed = 1});
  const Problem two = builtin_problem("cubic", {.L = 2, .K = 3, .seed = 2});
  Problem both = one;
  both.logits = at::cat({one.logits, two.logits});
  const at::Tensor expected = at::cat({gradthru::lab::exact_gradient(one, 1), [&] {
                                         Problem other = one;
                                         other.logits = two.logits;
                                         return gradthru::lab::exact_gradient(other, 1);
                                       }()});
  support::expect_near(gradthru::lab::exact_gradient(both, 1), expected, 1e-12, "rows");
}

/// The classes of functions of the traits, the one that each estimator may fail on last.
struct ClassOfF {
  const char* problem;
  Exact needed;
};
const std::vector<ClassOfF> kClasses = {
    {"linear", Exact::linear}, {"quadratic", Exact::quadratic}, {"cubic", Exact::every}};

/// Every setting of every estimator that is a function of one sample: the mean is the exact
/// gradient where the traits say so, and measurably not where they do not.
class TraitsOverSeveralVariables : public testing::TestWithParam<Estimator> {};

TEST_P(TraitsOverSeveralVariables, HoldAndHoldNoMore) {
  const Estimator& setting = GetParam();
  for (const ClassOfF& f : kClasses) {
    const Problem p = builtin_problem(f.problem, {.L = 2, .K = 3, .seed = 5});
    const Estimator e = support::for_categories(setting, 3);
    if (e.method == gradthru::Method::mve_scalar) continue;  // exact in one number per category
    const Fidelity got = measure(p, e);
    EXPECT_TRUE(got.enumerated);
    const double scale = got.exact_gradient.abs().max().item<double>();
    const double error = (got.mean - got.exact_gradient).abs().max().item<double>() / scale;
    if (gradthru::traits(e).exact >= f.needed) {
      EXPECT_LE(error, support::divides_by_probability(e) ? 1e-8 : 1e-12)
          << to_string(e) << f.problem;
    } else {
      EXPECT_GE(error, 1e-4) << to_string(e) << " " << f.problem;
    }
  }
}

std::vector<Estimator> every_setting() {
  std::vector<Estimator> all = support::discrete_only_sweep();
  for (const char* spec : {"exact", "exact(tau_f=0.5)", "reinforce", "reinforce(baseline=2)",
                           "reinforce(tau_f=0.7)", "indecater", "indecater(tau_f=2)"})
    all.push_back(parse_estimator(spec));
  return all;
}

INSTANTIATE_TEST_SUITE_P(Every, TraitsOverSeveralVariables, testing::ValuesIn(every_setting()),
                         [](const auto& tested) {
                           return support::test_name(tested.param) + "_" +
                                  std::to_string(tested.index);
                         });

/// zgr on one variable of a quadratic: the variance by hand.
TEST(Enumerated, VarianceIsThatOfTheOutcomes) {
  const Problem p = builtin_problem("quadratic", {.L = 1, .K = 4, .seed = 3});
  const Fidelity got = measure(p, gradthru::zgr());
  const reference::Row pi = reference::softmax(support::row_of(p.logits[0][0]));
  double variance = 0;
  for (int64_t x = 0; x < 4; ++x) {
    const at::Tensor z = support::leaf(
        at::one_hot(at::full({}, x, at::kLong), 4).to(at::kDouble).view({1, 1, 1, 4}));
    const at::Tensor g = support::gradient(p.f(z).sum(), z, at::ones({}, at::kDouble)).flatten();
    const at::Tensor grad = support::run(p.logits[0], gradthru::zgr(),
                                         {.index = at::full({1}, x, at::kLong)}, g.unsqueeze(0))
                                .grad;
    variance += pi[static_cast<size_t>(x)] * (grad - got.mean[0]).square().sum().item<double>();
  }
  EXPECT_NEAR(got.variance, variance, 1e-12 * variance);
  EXPECT_NEAR(got.relative_std, std::sqrt(variance) / got.mean.norm().item<double>(), 1e-12);
}

TEST(Enumerated, ReinmaxIsExactForAQuadraticAndStIsNot) {
  const Problem p = builtin_problem("quadratic", {});
  EXPECT_LE(measure(p, gradthru::reinmax()).relative_bias.value, 1e-12);
  EXPECT_GE(measure(p, gradthru::st()).relative_bias.value, 1e-2);
  EXPECT_LE(measure(builtin_problem("linear", {}), gradthru::st()).relative_bias.value, 1e-12);
}

/// Drawn and enumerated agree within the stated intervals, five times as wide.
TEST(Target, IsTheGradientAtItsOwnTemperature) {
  const Problem p = builtin_problem("cubic", {.L = 2, .K = 3, .seed = 5});
  const std::vector<Estimator> both = {gradthru::st({.tau_f = 2, .tau_b = 2}), gradthru::exact()};
  const auto plain = measure(p, both), shifted = measure(p, both, {.target_tau = 0.7});
  const at::Tensor target = gradthru::lab::exact_gradient(p, 0.7);
  for (size_t i = 0; i < both.size(); ++i) {
    EXPECT_EQ(plain[i].target_tau, plain[i].tau_f);
    EXPECT_EQ(shifted[i].target_tau, 0.7);
    EXPECT_EQ(shifted[i].tau_f, plain[i].tau_f);
    // What is sampled stays; what it is compared with is another.
    support::expect_near(shifted[i].mean, plain[i].mean, 0, "mean");
    const double bias = (plain[i].mean - target).norm().item<double>();
    EXPECT_NEAR(shifted[i].relative_bias.value, bias / target.norm().item<double>(), 1e-14);
  }
  EXPECT_EQ(plain[1].relative_bias.value, 0);
  EXPECT_GT(shifted[1].relative_bias.value, 0.01);
}

TEST(Sampled, AgreesWithWhatIsEnumerated) {
  const Problem p = builtin_problem("mlp", {.L = 2, .K = 3, .seed = 4});
  for (const char* spec : {"st", "zgr", "gst", "reinforce", "indecater"}) {
    const Estimator e = parse_estimator(spec);
    const Fidelity exact = measure(p, e);
    const Fidelity drawn = measure(p, e, {.draws = 40000, .sampled = true, .key = {.seed = 8}});
    EXPECT_FALSE(drawn.enumerated);
    EXPECT_EQ(drawn.draws, 40000);
    const double off = (drawn.mean - exact.mean).norm().item<double>();
    EXPECT_LE(off, 5 * drawn.standard_error) << spec;
    EXPECT_NEAR(drawn.variance, exact.variance, 0.1 * exact.variance) << spec;
    const auto within = [&](gradthru::lab::Interval i, double truth) {
      EXPECT_LE(std::abs(i.value - truth), 5 * (i.high - i.low) / 2 + 1e-3) << spec;
      EXPECT_LT(i.low, i.value) << spec;
    };
    within(drawn.cosine, exact.cosine.value);
    if (exact.relative_bias.value > 0.05) within(drawn.relative_bias, exact.relative_bias.value);
    EXPECT_NEAR(drawn.squared_bias, exact.squared_bias,
                5 * (drawn.standard_error / exact.exact_gradient.norm().item<double>()) *
                    (2 * exact.relative_bias.value + 0.05))
        << spec;
  }
}

TEST(Sampled, UnbiasedEstimatorsHaveNoBiasAndTheirOrderOfVariance) {
  const Problem p = builtin_problem("mlp", {.L = 3, .K = 2, .seed = 6});
  std::vector<double> variance;
  for (const char* spec : {"reinforce", "rloo", "arm", "disarm", "indecater"}) {
    const Fidelity got = measure(p, parse_estimator(spec), {.draws = 40000, .sampled = true});
    const double length = got.exact_gradient.norm().item<double>();
    EXPECT_LE(std::abs(got.squared_bias), 25 * std::pow(got.standard_error / length, 2)) << spec;
    variance.push_back(got.variance);
  }
  EXPECT_LE(variance[3], variance[2]) << "disarm is the conditional mean of arm";
  EXPECT_LE(variance[4], variance[1]) << "indecater sums out what rloo draws";
}

TEST(Sampled, CurvesOverTheNumberOfSamples) {
  const Problem p = builtin_problem("mlp", {.L = 2, .K = 3, .seed = 7});
  const Fidelity got = measure(p, gradthru::gumbel_softmax(), {.draws = 4096});
  ASSERT_EQ(got.by_samples.size(), 6u);  // 1, 4, ..., 1024
  double last = INFINITY;
  for (const auto& at : got.by_samples) {
    EXPECT_LE(at.relative_rmse, last);
    last = at.relative_rmse;
    ASSERT_TRUE(at.cosine.has_value());
    EXPECT_LE(*at.cosine_low, *at.cosine_high);
    EXPECT_LE(std::abs(*at.cosine), 1);
  }
  EXPECT_LT(*got.by_samples.front().cosine, *got.by_samples.back().cosine);
}

TEST(Sampled, TheNumberOfDrawsAtOnceChangesNothing) {
  // Blocks are cut by memory: a wide problem takes many, its rows keep their random numbers.
  const Problem small = builtin_problem("linear", {.L = 2, .K = 2});
  const at::Tensor whole = gradthru::lab::estimates(small, gradthru::gumbel_softmax(), 10,
                                                    {.key = gradthru::Key{.seed = 3}});
  const at::Tensor rest = gradthru::lab::estimates(
      small, gradthru::gumbel_softmax(), 4, {.key = gradthru::Key{.seed = 3, .row0 = 6 * 2}});
  support::expect_same_bits(rest, whole.slice(0, 6), "draws 6 to 10");
}

TEST(Refusal, SaysWhatIsWanted) {
  expect_refused([] { builtin_problem("cubik", {}); }, "did you mean 'cubic'?");
  expect_refused([] { builtin_problem("linear", {.L = 0}); }, "got 0x4");
  expect_refused([] { builtin_problem("polynomial", {.p = 0.5}); }, "p must be");
  expect_refused([] { measure(builtin_problem("linear", {.L = 30}), gradthru::st()); },
                 "1.15292e+18 states; at most 1048576");
  expect_refused([] { measure(builtin_problem("linear", {}), gradthru::rloo(), {.draws = 63}); },
                 "draws must be >= 64, got 63");
  Problem values_only = builtin_problem("linear", {});
  values_only.differentiable = false;
  expect_refused([&] { measure(values_only, gradthru::st()); }, "needs the gradient of f");
  EXPECT_LE(measure(values_only, gradthru::reinforce()).relative_bias.value, 1e-12);
}

}  // namespace
