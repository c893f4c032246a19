#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "gradthru/estimator.h"
#include "gradthru/expectation.h"
#include "support/estimators.h"

// Estimators as values: how they print, what their schedules and traits say.
namespace {

using gradthru::Estimator;
using gradthru::Exact;
using gradthru::Family;
using gradthru::InvalidInput;
using gradthru::kGapP;
using gradthru::Method;
using gradthru::Noise;
using gradthru::parse_estimator;
using gradthru::Temperature;
using gradthru::to_string;
using gradthru::traits;

TEST(Print, Examples) {
  EXPECT_EQ(to_string(gradthru::st()), "st");
  EXPECT_EQ(to_string(gradthru::reinmax(1.3)), "reinmax(1.3)");
  EXPECT_EQ(to_string(gradthru::reinmax({.tau_b = 1.3})), "reinmax(1.3)");
  EXPECT_EQ(to_string(gradthru::zgr({.tau_f = 0.5})), "zgr(tau=0.5)");
  EXPECT_EQ(to_string(gradthru::gumbel_rao({.samples = 10})), "gumbel_rao");
  EXPECT_EQ(to_string(gradthru::gumbel_softmax({.tau_f = 1})), "gumbel_softmax(tau_f=1)");
  EXPECT_EQ(to_string(gradthru::gst({.gap = 2})), "gst(2)");
  EXPECT_EQ(to_string(gradthru::mve({.t = std::numeric_limits<double>::infinity()})), "mve");
  EXPECT_EQ(to_string(gradthru::reinforce()), "reinforce");
  EXPECT_EQ(to_string(gradthru::reinforce({.baseline = 0.5})), "reinforce(baseline=0.5)");
  EXPECT_EQ(to_string(gradthru::reinforce({.baseline = gradthru::kMovingBaseline})),
            "reinforce(baseline=moving)");
  EXPECT_EQ(to_string(gradthru::rloo(4)), "rloo(4)");
  EXPECT_EQ(to_string(gradthru::rloo({.samples = 2})), "rloo");
  EXPECT_EQ(to_string(gradthru::exact({.tau_f = 0.5})), "exact(tau=0.5)");
  EXPECT_EQ(to_string(gradthru::mve_scalar({.t = 0.5, .values = {{0, 0.25}}})),
            "mve_scalar(t=0.5,values=0:0.25)");
}

/// All ways to write the parameters of an estimator with the keys that it takes, sensible or not.
std::vector<std::string> ways_to_write(const Estimator& e) {
  const auto number = [](double x) { return to_string(Temperature(x)); };
  const auto flag = [](bool x) { return std::string(x ? "true" : "false"); };
  const std::string gap = e.gap == kGapP ? "p" : number(e.gap);
  const std::string noise = e.noise == Noise::scaled_sum ? "scaled_sum" : "scaled_logits";
  std::string values;
  for (double value : e.values) values += (values.empty() ? "" : ":") + number(value);
  const std::string draw = e.draw == gradthru::ExtraDraw::free ? "free" : "conditional";
  std::vector<std::vector<std::string>> arguments = {
      {"", number(e.tau_b.start), gap, std::to_string(e.samples), number(e.alpha), number(e.t)},
      {"", "tau=" + number(e.tau_b.start), "tau=" + number(e.tau_f.start)},
      {"", "tau_f=" + number(e.tau_f.start)},
      {"", "tau_b=" + number(e.tau_b.start)},
      {"", "noise=" + noise},
      {"", "gap=" + gap},
      {"", "samples=" + std::to_string(e.samples)},
      {"", "alpha=" + number(e.alpha)},
      {"", "t=" + number(e.t)},
      {"", "eta=" + number(e.eta)},
      {"", "draw=" + draw},
      {"", "values=" + values},
      {"", "consistent=" + flag(e.consistent)},
      {"", "detach=" + flag(e.detach)},
      {"", "hard=" + flag(e.hard)}};
  const std::vector<std::string> keys = gradthru::about(e.method).parameters;
  std::erase_if(arguments, [&](const auto& choices) {
    const std::string key = choices[1].substr(0, choices[1].find('='));
    const bool has_key = key != choices[1] && key != "tau";
    return has_key && std::find(keys.begin(), keys.end(), key) == keys.end();
  });
  std::vector<std::string> ways = {""};
  for (const std::vector<std::string>& choices : arguments) {
    std::vector<std::string> longer;
    for (const std::string& way : ways)
      for (const std::string& choice : choices)
        longer.push_back(way + (way.empty() || choice.empty() ? "" : ",") + choice);
    ways = std::move(longer);
  }
  return ways;
}

/// The length of the shortest of these specs that gives `e`.
size_t shortest_length(const Estimator& e) {
  const std::string name(gradthru::name(e.method));
  size_t best = std::numeric_limits<size_t>::max();
  for (const std::string& way : ways_to_write(e)) {
    const std::string spec = way.empty() ? name : name + "(" + way + ")";
    if (spec.size() >= best) continue;
    try {
      if (parse_estimator(spec) == e) best = spec.size();
    } catch (const InvalidInput&) {
    }
  }
  return best;
}

TEST(Print, RoundTripsAndIsShortest) {
  for (const Estimator& e : support::sweep()) {
    const std::string spec = to_string(e);
    EXPECT_EQ(parse_estimator(spec), e) << spec;
    std::string dense = spec;
    std::erase(dense, ' ');
    EXPECT_LE(dense.size(), shortest_length(e)) << spec;
  }
}

TEST(Print, NumbersKeepEveryBit) {
  for (double tau : {0.1, 1.0 / 3, 1e-7, 12345.678, 1e22}) {
    const Estimator e = gradthru::st({.tau_f = tau, .tau_b = 2 * tau});
    EXPECT_EQ(parse_estimator(to_string(e)), e) << to_string(e);
  }
}

TEST(Print, SchedulesRoundTrip) {
  for (const Temperature& schedule :
       {Temperature::exponential(1.0, 0.1, 0.5), Temperature::linear(2, 0.5, 1),
        Temperature::cosine(1, 0.2, 0.25), Temperature::exponential(1, 1.0 / 3, 0.123)})
    for (const Estimator& e : {gradthru::st({.tau = schedule}), gradthru::zgr({.tau_f = schedule}),
                               gradthru::gumbel_rao({.tau_f = schedule, .tau_b = 0.5}),
                               gradthru::gumbel_softmax({.tau = schedule, .hard = false})})
      EXPECT_EQ(parse_estimator(to_string(e)), e) << to_string(e);
}

TEST(Schedule, ReachesItsEndAndStays) {
  const Temperature exponential = Temperature::exponential(1.0, 0.1, 0.5);
  EXPECT_NEAR(exponential.at(0), 1, 1e-15);
  EXPECT_NEAR(exponential.at(0.25), std::sqrt(0.1), 1e-15);
  EXPECT_NEAR(exponential.at(0.5), 0.1, 1e-15);
  EXPECT_NEAR(exponential.at(1), 0.1, 1e-15);
  const Temperature linear = Temperature::linear(2, 0.5);
  EXPECT_NEAR(linear.at(0), 2, 1e-15);
  EXPECT_NEAR(linear.at(0.4), 1.4, 1e-15);
  EXPECT_NEAR(linear.at(1), 0.5, 1e-15);
  const Temperature cosine = Temperature::cosine(1, 0.2, 0.5);
  EXPECT_NEAR(cosine.at(0), 1, 1e-15);
  EXPECT_NEAR(cosine.at(0.125), 0.6 + 0.4 * std::cos(std::acos(-1.0) / 4), 1e-15);
  EXPECT_NEAR(cosine.at(0.25), 0.6, 1e-15);
  EXPECT_NEAR(cosine.at(0.75), 0.2, 1e-15);
  EXPECT_EQ(Temperature(0.3).at(0.7), 0.3);
}

TEST(Schedule, AnEstimatorTakesItsValueAtTheProgress) {
  const Estimator e = gradthru::st({.tau_f = 2, .tau_b = Temperature::linear(1, 0.5)});
  EXPECT_FALSE(e.is_constant());
  EXPECT_EQ(e.at(0.5), gradthru::st({.tau_f = 2, .tau_b = 0.75}));
  EXPECT_TRUE(e.at(0.5).is_constant());
  EXPECT_EQ(gradthru::reinmax(1.3).at(0.5), gradthru::reinmax(1.3));
}

Exact exact_by_the_table(const Estimator& e) {
  const bool equal = e.tau_f == e.tau_b;
  switch (e.method) {
    case Method::st:
      return equal ? Exact::linear : Exact::none;
    case Method::gst:
      return equal && !e.consistent ? Exact::linear : Exact::none;
    case Method::darn:
      return Exact::linear;
    case Method::zgr:
      return Exact::quadratic;
    case Method::st_zgr:
      return e.alpha == 1 ? Exact::quadratic : Exact::linear;
    case Method::reinmax:
      return equal ? Exact::quadratic : Exact::none;
    case Method::reinmax_uniform:
      return Exact::quadratic;
    case Method::mve:
      return std::isinf(e.t) ? Exact::quadratic : Exact::linear;
    case Method::reinmax_cv:
      return e.draw == gradthru::ExtraDraw::free ? Exact::none : Exact::quadratic;
    default:
      return Exact::none;
  }
}

TEST(Traits, AreThoseOfTheTable) {
  for (const Estimator& e : support::sweep()) {
    const gradthru::Traits t = traits(e);
    const support::Draw draw = support::draw_of(e.method);
    EXPECT_EQ(t.exact, exact_by_the_table(e)) << to_string(e);
    EXPECT_EQ(t.needs_gumbels, draw == support::Draw::gumbel) << to_string(e);
    EXPECT_EQ(t.discrete_only, draw == support::Draw::uniform) << to_string(e);
    EXPECT_EQ(t.relaxed, !e.hard) << to_string(e);
    EXPECT_EQ(t.offsets, support::offsets_of(e)) << to_string(e);
    EXPECT_TRUE(t.needs_gradient) << to_string(e);
    EXPECT_FALSE(t.binary_only) << to_string(e);
    EXPECT_EQ(gradthru::evaluations(e, 3, 4), 1) << to_string(e);
  }
}

TEST(Traits, OfTheScoreEstimators) {
  EXPECT_EQ(gradthru::methods().size(), gradthru::methods(Family::pathwise).size() +
                                            gradthru::methods(Family::score).size() +
                                            gradthru::methods(Family::network).size());
  for (Method method : gradthru::methods(Family::score)) {
    const Estimator e = gradthru::make_estimator(method);
    const gradthru::Traits t = traits(e);
    EXPECT_EQ(gradthru::about(method).family, Family::score) << to_string(e);
    EXPECT_EQ(t.exact, Exact::every) << to_string(e);
    EXPECT_FALSE(t.needs_gradient || t.needs_gumbels || t.relaxed) << to_string(e);
    EXPECT_EQ(t.discrete_only, method != Method::arm) << to_string(e);
    EXPECT_EQ(t.binary_only, method == Method::arm || method == Method::disarm) << to_string(e);
  }
  EXPECT_EQ(traits(parse_estimator("reinforce(tau_f=0.5)")).sampling_tau, 0.5);
}

TEST(Traits, OfTheRulesOfNetworks) {
  for (Method method : gradthru::methods(Family::network)) {
    const Estimator e = gradthru::make_estimator(method);
    const gradthru::Traits t = traits(e);
    EXPECT_EQ(gradthru::about(method).family, Family::network) << to_string(e);
    EXPECT_EQ(t.exact, Exact::none) << to_string(e);
    EXPECT_TRUE(t.needs_gradient && t.binary_only) << to_string(e);
    EXPECT_EQ(t.relaxed, method != Method::psa && method != Method::hard_st) << to_string(e);
    const at::Tensor logits = at::zeros({2, 2});
    EXPECT_THROW(gradthru::sample(logits, e), gradthru::InvalidInput);
    EXPECT_THROW(gradthru::sample_binary(logits, e), gradthru::InvalidInput);
    const auto f = [](const at::Tensor& z) { return z.sum(-1); };
    EXPECT_THROW(gradthru::expectation(f, logits, e, gradthru::Coding::zero_one),
                 gradthru::InvalidInput);
  }
  EXPECT_EQ(parse_estimator("concrete(0.5)").tau_b.start, 0.5);
  EXPECT_EQ(to_string(parse_estimator("concrete(tau=exp(1,0.1,50%))")), "concrete(exp(1,0.1,50%))");
}

TEST(Traits, EvaluationsOfTheFunction) {
  const std::vector<std::pair<const char*, double>> expected = {
      {"exact", 64}, {"reinforce", 1},         {"rloo", 2},         {"rloo(5)", 5}, {"arm", 2},
      {"disarm", 2}, {"indecater", 1 + 3 * 3}, {"indecater(2)", 20}};
  for (const auto& [spec, count] : expected)
    EXPECT_EQ(gradthru::evaluations(parse_estimator(spec), 3, 4), count) << spec;
}

TEST(Registry, SaysSomethingAboutEveryMethod) {
  EXPECT_GE(gradthru::methods().size(), 14u);
  for (Method method : gradthru::methods()) {
    const gradthru::About about = gradthru::about(method);
    EXPECT_FALSE(about.summary.empty() || about.source.empty()) << gradthru::name(method);
    EXPECT_EQ(about.parameters.empty(),
              about.family == Family::network && method != Method::concrete)
        << gradthru::name(method);
  }
}

}  // namespace
