#include "gradthru/estimator.h"

#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "support/estimators.h"
#include "support/refusal.h"

// Specs and parameters: what a user writes down, and what is refused.
namespace {

using gradthru::Anneal;
using gradthru::Estimator;
using gradthru::ExtraDraw;
using gradthru::InvalidInput;
using gradthru::kGapP;
using gradthru::Method;
using gradthru::Noise;
using gradthru::Parameters;
using gradthru::parse_estimator;
using gradthru::Temperature;
using gradthru::to_string;
using testing::HasSubstr;

void expect_spec_refused(const std::string& spec, const std::string& part = "") {
  SCOPED_TRACE(spec);
  support::expect_refused([&] { parse_estimator(spec); }, part);
}

void expect_equal(const std::string& spec, const Estimator& expected) {
  EXPECT_EQ(parse_estimator(spec), expected)
      << spec << " gave " << to_string(parse_estimator(spec));
}

TEST(Spec, NameAloneTakesTheDefaults) {
  for (Method method : gradthru::methods()) {
    const Parameters required = support::required(method);
    const Estimator e = gradthru::make_estimator(method, required);
    if (!required.values) {
      EXPECT_EQ(parse_estimator(gradthru::name(method)), e) << to_string(e);
    }
    EXPECT_EQ(e.method, method);
    EXPECT_EQ(e.tau_f, Temperature(1));
    EXPECT_EQ(e.tau_b, Temperature(1));
    EXPECT_EQ(e.noise, Noise::scaled_sum);
    EXPECT_EQ(e.gap, 1);
    EXPECT_EQ(e.alpha, 1);
    EXPECT_EQ(e.t, std::numeric_limits<double>::infinity());
    EXPECT_EQ(e.eta, 1);
    EXPECT_EQ(e.draw, ExtraDraw::conditional);
    EXPECT_TRUE(e.consistent && e.detach && e.hard);
  }
  for (const char* name : {"gumbel_rao", "reinmax_rao", "reinmax_cv"})
    EXPECT_EQ(parse_estimator(name).samples, 10) << name;
  EXPECT_EQ(parse_estimator("rloo").samples, 2);
  EXPECT_EQ(parse_estimator("indecater").samples, 1);
  EXPECT_EQ(parse_estimator("reinforce").baseline, 0);
  EXPECT_EQ(parse_estimator("reinforce(baseline=none)").baseline, 0);
  EXPECT_EQ(parse_estimator("reinforce(baseline=-1.5)").baseline, -1.5);
  EXPECT_EQ(parse_estimator("reinforce(baseline=moving)").baseline, gradthru::kMovingBaseline);
}

TEST(Spec, FactoriesEqualSpecsOfTheirName) {
  const auto expect_spec = [](const Estimator& e, Method method, const std::string& stem) {
    EXPECT_EQ(e.method, method);
    EXPECT_EQ(std::string(gradthru::name(method)), stem);
    EXPECT_EQ(parse_estimator(e.values.empty() ? stem : stem + "(values=0:1)"), e);
  };
#define GRADTHRU_ESTIMATOR(stem, ...) \
  expect_spec(gradthru::stem(support::required(Method::stem)), Method::stem, #stem);
#include "gradthru/estimators.def"
}

TEST(Spec, PositionalValueIsTheKeyOfTheTable) {
  expect_equal("st(0.5)", gradthru::st({.tau = 0.5}));
  expect_equal("reinmax(1.3)", gradthru::reinmax({.tau = 1.3}));
  expect_equal("gumbel_softmax(0.7)", gradthru::gumbel_softmax({.tau = 0.7}));
  expect_equal("gst(2)", gradthru::gst({.gap = 2}));
  expect_equal("gumbel_rao(5)", gradthru::gumbel_rao({.samples = 5}));
  expect_equal("st_zgr(0.5)", gradthru::st_zgr({.alpha = 0.5}));
  expect_equal("mve(5)", gradthru::mve({.t = 5}));
  EXPECT_EQ(gradthru::mve(5), gradthru::mve({.t = 5}));
  EXPECT_EQ(gradthru::reinmax(1.3), gradthru::reinmax({.tau = 1.3}));
  EXPECT_EQ(gradthru::gst(2), gradthru::gst({.gap = 2}));
  EXPECT_EQ(gradthru::gumbel_rao(5), gradthru::gumbel_rao({.samples = 5}));
  EXPECT_EQ(gradthru::st_zgr(0.5), gradthru::st_zgr({.alpha = 0.5}));
  expect_equal("gumbel_rao(5, tau=0.5)", gradthru::gumbel_rao({.tau = 0.5, .samples = 5}));
}

TEST(Spec, NoPositionalValueWhereTheTableNamesNone) {
  for (const char* spec : {"identity(0.5)", "darn(0.5)", "zgr(0.5)", "reinmax_uniform(0.5)",
                           "reinmax_rao(0.5)", "reinmax_cv(5)", "mve_scalar(5,values=0:1)"})
    expect_spec_refused(spec);
  EXPECT_THROW(gradthru::zgr(0.5), InvalidInput);
}

TEST(Spec, PositionalFactoryRefusesWhatTheSpecRefuses) {
  EXPECT_THROW(gradthru::gumbel_rao(2.5), InvalidInput);
  EXPECT_THROW(gradthru::gst(-0.5), InvalidInput);
  EXPECT_THROW(gradthru::reinmax(0.0), InvalidInput);
}

TEST(Spec, TauIsThePublishedSingleTemperatureForm) {
  for (const char* name : {"st", "reinmax", "gst", "gumbel_softmax", "gumbel_rao"}) {
    const Estimator e = parse_estimator(std::string(name) + "(tau=0.5)");
    EXPECT_EQ(e.tau_b, Temperature(0.5)) << name;
    EXPECT_EQ(e.tau_f, Temperature(1)) << name;
    EXPECT_EQ(e.noise, Noise::scaled_sum) << name;
  }
}

TEST(Spec, TauWithoutBackwardTemperatureIsTheForwardOne) {
  for (const char* name : {"identity", "darn", "zgr", "st_zgr", "reinmax_uniform", "mve"}) {
    const Estimator e = parse_estimator(std::string(name) + "(tau=0.5)");
    EXPECT_EQ(e, parse_estimator(std::string(name) + "(tau_f=0.5)")) << name;
    EXPECT_EQ(e.tau_f, Temperature(0.5)) << name;
  }
}

TEST(Spec, TauOfTheirOwnIsTheOnlyTemperature) {
  for (const std::string name : {"reinmax_rao", "reinmax_cv"}) {
    const Estimator e = parse_estimator(name + "(tau=0.5)");
    EXPECT_EQ(e.tau_b, Temperature(0.5)) << name;
    EXPECT_EQ(e.tau_f, Temperature(1)) << name;
    EXPECT_EQ(to_string(e), name + "(tau=0.5)");
    for (const char* key : {"tau_f", "tau_b", "noise"})
      expect_spec_refused(name + "(" + key + "=1)", "known: tau, samples");
    expect_spec_refused(name + "(tau=0)", "tau");
  }
}

TEST(Spec, ValuesAreSeparatedByColons) {
  const Estimator e = parse_estimator("mve_scalar(values=0:1:2.5:-3)");
  EXPECT_EQ(e.values, (std::vector<double>{0, 1, 2.5, -3}));
  EXPECT_EQ(to_string(e), "mve_scalar(values=0:1:2.5:-3)");
  expect_equal("mve_scalar(t=5, values='0: 1')",
               gradthru::mve_scalar({.t = 5, .values = {{0, 1}}}));
  expect_spec_refused("mve_scalar", "values must be given, one number per category");
  for (const char* bad : {"", ":", "1:", "1:x", "0:inf", "nan"})
    expect_spec_refused("mve_scalar(values=" + std::string(bad) + ")", "values");
  EXPECT_THROW(gradthru::mve({.values = {{0, 1}}}), InvalidInput);
}

TEST(Spec, TauOfARelaxedSampleIsBoth) {
  const Estimator e = parse_estimator("gumbel_softmax(tau=0.5, hard=false)");
  EXPECT_EQ(e.tau_f, Temperature(0.5));
  EXPECT_EQ(e.tau_b, Temperature(0.5));
  EXPECT_FALSE(e.hard);
  EXPECT_EQ(e.noise, Noise::scaled_sum);
  expect_equal("gumbel_softmax(0.5, hard=false)", e);
}

TEST(Spec, RelaxedSampleNeedsEqualTemperatures) {
  expect_spec_refused("gumbel_softmax(tau_f=1, tau_b=0.5, hard=false)");
  expect_spec_refused("gumbel_softmax(tau_b=0.5, hard=false)");
  expect_spec_refused("gumbel_softmax(tau_f=0.5, hard=false)");
  EXPECT_NO_THROW(parse_estimator("gumbel_softmax(tau_f=0.5, tau_b=0.5, hard=false)"));
}

TEST(Spec, TauAndBackwardTemperatureContradict) {
  expect_spec_refused("st(tau=0.5, tau_b=0.5)", "tau");
  expect_spec_refused("reinmax(1.3, tau_b=0.5)", "tau");
  EXPECT_THROW(gradthru::st({.tau_b = 0.5, .tau = 0.5}), InvalidInput);
}

TEST(Spec, NoiseIsScaledLogitsOnceTheForwardTemperatureIsGiven) {
  for (const std::string name : {"gumbel_softmax", "gumbel_rao"}) {
    EXPECT_EQ(parse_estimator(name + "(tau_f=2)").noise, Noise::scaled_logits);
    EXPECT_EQ(parse_estimator(name + "(tau_f=1)").noise, Noise::scaled_logits);
    EXPECT_EQ(parse_estimator(name + "(tau_b=2)").noise, Noise::scaled_sum);
    EXPECT_EQ(parse_estimator(name + "(tau_f=2, noise=scaled_sum)").noise, Noise::scaled_sum);
    EXPECT_EQ(parse_estimator(name + "(noise=scaled_logits)").noise, Noise::scaled_logits);
  }
  EXPECT_EQ(gradthru::gumbel_softmax({.tau_f = 2}).noise, Noise::scaled_logits);
}

/// Counts the warnings of the whole program.
class CountedWarnings : public c10::WarningHandler, public testing::Environment {
 public:
  void SetUp() override { c10::WarningUtils::set_warning_handler(this); }
  void TearDown() override { c10::WarningUtils::set_warning_handler(nullptr); }
  void process(const c10::Warning& warning) override { messages.push_back(warning.msg()); }
  std::vector<std::string> messages;
};

CountedWarnings* const warnings = [] {
  auto* environment = new CountedWarnings;
  testing::AddGlobalTestEnvironment(environment);  // which owns it
  return environment;
}();

TEST(Spec, InertForwardTemperatureWarnsOnce) {
  gradthru::gumbel_softmax({.tau_f = 2, .noise = Noise::scaled_sum});
  parse_estimator("gumbel_rao(tau_f=0.5, noise=scaled_sum)");
  EXPECT_THAT(warnings->messages, testing::ElementsAre(HasSubstr("tau_f")));
}

TEST(Spec, EveryKeyIsRead) {
  expect_equal(
      "gst(tau_f=2, tau_b=0.5, gap=0.25, consistent=false, detach=false)",
      gradthru::gst({.tau_f = 2, .tau_b = 0.5, .gap = 0.25, .consistent = false, .detach = false}));
  expect_equal("st_zgr(tau_f=2, alpha=1.5)", gradthru::st_zgr({.tau_f = 2, .alpha = 1.5}));
  expect_equal("gumbel_softmax(hard=true)", gradthru::gumbel_softmax());
  expect_equal("mve(tau_f=2, t=inf)", gradthru::mve({.tau_f = 2}));
  expect_equal(
      "reinmax_cv(tau=0.7, samples=2, eta=1.5, draw=free)",
      gradthru::reinmax_cv({.tau = 0.7, .samples = 2, .eta = 1.5, .draw = ExtraDraw::free}));
  expect_equal("reinmax_cv(draw=conditional)", gradthru::reinmax_cv());
  const Estimator rao = parse_estimator("gumbel_rao(samples=100, tau=0.5)");
  EXPECT_EQ(rao.samples, 100);
  EXPECT_EQ(rao.tau_b, Temperature(0.5));
}

TEST(Spec, GapByProbability) {
  EXPECT_EQ(parse_estimator("gst(gap=p)").gap, kGapP);
  EXPECT_EQ(parse_estimator("gst(gap='p')").gap, kGapP);
  EXPECT_EQ(parse_estimator("gst(p)").gap, kGapP);
  EXPECT_EQ(parse_estimator(to_string(gradthru::gst({.gap = kGapP}))).gap, kGapP);
}

TEST(Spec, BlanksDoNotMatter) {
  expect_equal("  reinmax ( tau = 1.3 ) ", gradthru::reinmax(1.3));
  expect_equal("st(tau_f=0.1,tau_b=0.7)", gradthru::st({.tau_f = 0.1, .tau_b = 0.7}));
  expect_equal("\tst( tau_f = 0.1 ,\ttau_b = 0.7 )\n", gradthru::st({.tau_f = 0.1, .tau_b = 0.7}));
  expect_equal("st( 0.5 )", gradthru::st(0.5));
}

TEST(Spec, SchedulesWithAndWithoutQuotes) {
  const Temperature schedule = Temperature::exponential(1.0, 0.1, 0.5);
  for (const char* spec :
       {"st(tau=exp(1.0,0.1,50%))", "st(tau=\"exp(1.0,0.1,50%)\")", "st(exp(1.0,0.1,50%))",
        "st( tau = exp( 1.0 , 0.1 , 50% ) )", "st(tau=exp(1,0.1,50%))"})
    expect_equal(spec, gradthru::st({.tau = schedule}));
  expect_equal("st(tau_f=linear(2,0.5,100%), tau_b=cosine(1,0.2,25%))",
               gradthru::st({.tau_f = Temperature::linear(2, 0.5, 1),
                             .tau_b = Temperature::cosine(1, 0.2, 0.25)}));
  EXPECT_EQ(parse_estimator("st(tau=exp(1.0,0.1,50%))").tau_b.anneal, Anneal::exponential);
}

TEST(Spec, SeveralSpecsAreSeparatedBySemicolons) {
  const std::vector<Estimator> list = gradthru::parse_estimators("st; reinmax(1.3) ;gst(gap=2)");
  EXPECT_EQ(list,
            (std::vector<Estimator>{gradthru::st(), gradthru::reinmax(1.3), gradthru::gst(2)}));
  EXPECT_THROW(gradthru::parse_estimators("st;reinmx"), InvalidInput);
}

TEST(Spec, UnknownNamesSuggestTheNearest) {
  expect_spec_refused("reinmx", "reinmax");
  expect_spec_refused("gumbel_sofmax(0.5)", "gumbel_softmax");
  expect_spec_refused("st(tau_x=1)", "tau_");
  expect_spec_refused("gumbel_rao(sample=3)", "samples");
  expect_spec_refused("reinmx", "reinmx");
}

TEST(Spec, KeysThatTheMethodDoesNotTake) {
  expect_spec_refused("st(alpha=1)", "alpha");
  expect_spec_refused("zgr(tau_b=1)", "tau_b");
  expect_spec_refused("gst(hard=false)", "hard");
  expect_spec_refused("reinmax(samples=3)", "samples");
  EXPECT_THROW(gradthru::st({.alpha = 1}), InvalidInput);
  EXPECT_THROW(gradthru::zgr({.tau_b = 1}), InvalidInput);
  EXPECT_THROW(gradthru::darn({.noise = Noise::scaled_sum}), InvalidInput);
}

TEST(Spec, MalformedTextIsRefused) {
  for (const char* spec : {"",
                           " ",
                           "(",
                           "st(",
                           "st(1",
                           "st)",
                           "st(1))",
                           "st(1) x",
                           "st x",
                           "st(tau=)",
                           "st(=1)",
                           "st(tau=1 tau_f=1)",
                           "st(tau=1,tau=1)",
                           "st(1,2)",
                           "st(tau=1,1)",
                           "st(tau=abc)",
                           "st(tau=1x)",
                           "st(tau=1.5.2)",
                           "st(,)",
                           "st(tau=1,)",
                           "gumbel_rao(samples=2.5)",
                           "gumbel_softmax(hard=maybe)",
                           "gumbel_softmax(noise=loud)",
                           "gst(gap=q)",
                           "reinmax_cv(draw=maybe)",
                           "mve(t=many)",
                           "st(tau=exp(1,2,50%)",
                           "st(tau=exp(1,2,50))",
                           "st(tau=sine(1,2,50%))",
                           "st(tau=\"exp(1,2,50%))",
                           "st(1,tau=1)"})
    expect_spec_refused(spec);
}

TEST(Spec, TemperaturesOutsideTheirDomain) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (double bad : {nan, infinity, -infinity, -0.5}) {
    EXPECT_THROW(gradthru::st({.tau_f = bad}), InvalidInput) << bad;
    EXPECT_THROW(gradthru::st({.tau_b = bad}), InvalidInput) << bad;
    EXPECT_THROW(gradthru::zgr({.tau_f = bad}), InvalidInput) << bad;
    EXPECT_THROW(gradthru::reinmax({.tau = bad}), InvalidInput) << bad;
  }
  for (const char* bad : {"nan", "inf", "-1", "0", "-0.0"})
    expect_spec_refused("reinmax(tau_b=" + std::string(bad) + ")", "tau_b");
  expect_spec_refused("reinmax(tau_b=-0.5)", "-0.5");
  for (const char* bad : {"exp(0,1,50%)", "exp(1,0,50%)", "exp(1,-1,50%)", "linear(1,nan,50%)",
                          "cosine(1,2,0%)", "cosine(1,2,101%)"})
    expect_spec_refused("reinmax(tau=" + std::string(bad) + ")");
}

bool is_accepted(Method method, const Parameters& parameters) {
  try {
    gradthru::make_estimator(method, parameters);
    return true;
  } catch (const InvalidInput&) {
    return false;
  }
}

TEST(Spec, ZeroForwardTemperatureIsArgmaxForStAndIdentityOnly) {
  EXPECT_EQ(parse_estimator("st(tau_f=0)").tau_f, Temperature(0));
  EXPECT_EQ(parse_estimator("identity(tau_f=0)").tau_f, Temperature(0));
  for (Method method : gradthru::methods())
    EXPECT_EQ(is_accepted(method, {.tau_f = 0}), method == Method::st || method == Method::identity)
        << gradthru::name(method);
  for (const char* name : {"st", "reinmax", "gst", "gumbel_softmax", "gumbel_rao"})
    expect_spec_refused(std::string(name) + "(tau_b=0)", "tau_b");
  expect_spec_refused("st(tau=0)");
}

TEST(Spec, OtherNumbersOutsideTheirDomain) {
  for (const char* spec : {"gst(gap=-0.5)",
                           "gst(gap=-1)",
                           "gst(gap=nan)",
                           "st_zgr(alpha=-0.1)",
                           "st_zgr(alpha=2.1)",
                           "st_zgr(alpha=nan)",
                           "gumbel_rao(samples=0)",
                           "gumbel_rao(samples=-3)",
                           "gumbel_rao(0)",
                           "mve(t=-0.1)",
                           "mve(nan)",
                           "reinmax_cv(eta=inf)",
                           "reinmax_cv(samples=0)",
                           "rloo(1)",
                           "rloo(samples=-2)",
                           "indecater(0)",
                           "reinforce(baseline=inf)",
                           "reinforce(baseline=nan)",
                           "reinforce(baseline=mean)",
                           "reinforce(0.5)",
                           "arm(samples=2)",
                           "exact(tau_f=0)"})
    expect_spec_refused(spec);
  EXPECT_THROW(gradthru::gst({.gap = -0.5}), InvalidInput);
  EXPECT_THROW(gradthru::gumbel_rao({.samples = 0}), InvalidInput);
  for (const char* spec : {"gst(gap=0)", "st_zgr(alpha=0)", "st_zgr(alpha=2)", "gumbel_rao(1)",
                           "mve(0)", "mve(inf)", "reinmax_cv(eta=-1)"})
    EXPECT_NO_THROW(parse_estimator(spec)) << spec;
}

}  // namespace
