#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "support/layouts.h"
#include "support/option_case.h"
#include "support/option_table.h"
#include "support/random.h"

// The binary form of every estimator whose line in docs/options.md has one, with every option.
namespace {

using gradthru::Coding;
using gradthru::Estimator;
using gradthru::InvalidInput;
using gradthru::Key;
using gradthru::UniformMix;
using support::kInfinity;
using support::kNan;

constexpr Key kKey{.seed = 31, .offset = 41, .row0 = 59};
constexpr int64_t kElements = 37;

struct BinaryCase {
  std::string what;
  at::Tensor logits, g;
  gradthru::BinaryOptions options{};
};

using BinaryCases = std::vector<BinaryCase>;

BinaryCase plain(const std::string& what, uint64_t seed) {
  support::Random random(seed);
  const at::Tensor logits = random.normal({kElements}, support::kLogitScale);
  return {what, logits, random.normal({kElements}), {}};
}

BinaryCase with_samples(BinaryCase c, int64_t samples) {
  c.g = support::Random(78).normal({samples, kElements});
  c.options.samples = samples;
  return c;
}

/// Each case in both codings, drawn and given.
BinaryCases in_all_ways(const BinaryCases& cases) {
  BinaryCases all;
  for (const BinaryCase& c : cases)
    for (const Coding coding : {Coding::zero_one, Coding::plus_minus_one})
      for (const bool given : {false, true}) {
        BinaryCase one = c;
        one.options.coding = coding;
        one.what += std::string(coding == Coding::zero_one ? " {0,1}" : " +-1");
        if (given) {
          const at::Tensor bits = support::Random(79).integers({kElements}, 0, 1).to(at::kDouble);
          one.options.given = coding == Coding::zero_one ? bits : 2 * bits - 1;
          one.what += " given";
        }
        all.push_back(one);
      }
  return all;
}

BinaryCase in_dtype(BinaryCase c, at::ScalarType dtype) {
  c.logits = c.logits.to(dtype);
  c.g = c.g.to(dtype);
  if (c.options.given) c.options.given = c.options.given->to(dtype);
  c.what += " " + std::string(c10::toString(dtype));
  return c;
}

/// The reference of element i in sample s.
support::ElementOutcome expected_element(const BinaryCase& c, const Estimator& e, int64_t s,
                                         int64_t i) {
  const auto at = [&](const at::Tensor& t) {
    return t.expand(c.logits.sizes())[i].item().toDouble();
  };
  support::ElementCall call;
  call.logit = at(c.logits);
  call.g = at(c.options.samples ? c.g[s] : c.g);
  call.e = support::for_categories(e, 2);
  call.uniform_mix = c.options.uniform_mix;
  call.plus_minus_one = c.options.coding == Coding::plus_minus_one;
  if (c.options.given) call.given = at(*c.options.given) > (call.plus_minus_one ? 0 : 0.5) ? 1 : 0;
  if (c.options.tau_f) call.e.tau_f = at(*c.options.tau_f);
  if (c.options.tau_b) call.e.tau_b = at(*c.options.tau_b);
  call.temperatures_valid = (!c.options.tau_f || support::valid_temperature(call.e.tau_f.start)) &&
                            (!c.options.tau_b || support::valid_temperature(call.e.tau_b.start));
  Key key = kKey;
  key.take(static_cast<uint64_t>(s) * support::offsets_of(e, c.options.given.has_value()));
  return support::reference_element(call, key, i);
}

void expect_number(double actual, double expected, double tolerance, const std::string& what) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(actual)) << what << ": " << actual;
  } else {
    EXPECT_NEAR(actual, expected, tolerance) << what;
  }
}

void expect_as_reference(BinaryCase c, const Estimator& e) {
  c.options.key = kKey;
  c.what += " " + to_string(e);
  const auto dtype = c.logits.scalar_type();
  const support::BinaryOutcome run = support::run_binary(c.logits, e, c.options, c.g);
  ASSERT_EQ(run.value.scalar_type(), dtype) << c.what;
  ASSERT_EQ(run.value.sizes(), c.g.sizes()) << c.what;
  ASSERT_EQ(run.grad.sizes(), c.logits.sizes()) << c.what;
  if (support::is_half(dtype)) {
    const BinaryCase wide = in_dtype(c, at::kFloat);
    const support::BinaryOutcome exact = support::run_binary(wide.logits, e, wide.options, wide.g);
    support::expect_one_rounding(run.value, exact.value, c.what + ": value");
    support::expect_one_rounding(run.grad, exact.grad, c.what + ": gradient");
    return;
  }
  const int64_t S = c.options.samples.value_or(1);
  const support::Row values = support::row_of(run.value), grads = support::row_of(run.grad);
  const double value_tolerance = e.hard ? 0 : dtype == at::kDouble ? 1e-12 : 2e-5;
  const double smallest = std::min({0.5, e.tau_f.start == 0 ? 1 : e.tau_f.start, e.tau_b.start});
  const double tolerance =
      (dtype == at::kDouble ? 1e-12 : 1e-5 / smallest) * 2 * support::max_abs(c.g) * S;
  for (int64_t i = 0; i < c.logits.numel(); ++i) {
    double sum = 0;
    for (int64_t s = 0; s < S; ++s) {
      const support::ElementOutcome one = expected_element(c, e, s, i);
      const size_t position = static_cast<size_t>(s * c.logits.numel() + i);
      expect_number(values[position], one.value, value_tolerance, c.what + ": value");
      sum += one.grad;
    }
    expect_number(grads[static_cast<size_t>(i)], sum, tolerance,
                  c.what + ": gradient of element " + std::to_string(i));
    if (testing::Test::HasFailure()) return;
  }
}

void expect_refused(BinaryCase c, const Estimator& e, const std::string& part) {
  c.options.key = kKey;
  std::string message = "no error";
  try {
    gradthru::sample_binary(c.logits, support::for_categories(e, 2), c.options);
  } catch (const InvalidInput& error) {
    message = error.what();
  } catch (const c10::Error& error) {
    message = error.what_without_backtrace();
  }
  EXPECT_THAT(message, testing::HasSubstr(part)) << c.what << " " << to_string(e);
}

void expect_all(const BinaryCases& cases, const Estimator& e,
                const std::vector<at::ScalarType>& dtypes = {at::kDouble, at::kFloat}) {
  for (const BinaryCase& c : in_all_ways(cases))
    for (const at::ScalarType dtype : dtypes)
      if (!testing::Test::HasFailure()) expect_as_reference(in_dtype(c, dtype), e);
}

std::vector<gradthru::Method> methods_with_a_binary_form() {
  const auto table = support::read_option_table(GRADTHRU_OPTIONS_PAGE);
  std::vector<gradthru::Method> methods = gradthru::methods(gradthru::Family::pathwise);
  std::erase_if(methods, [&](gradthru::Method method) {
    const auto row = table.cells.find(std::string(gradthru::name(method)));
    return row == table.cells.end() || row->second.at("binary") != "yes";
  });
  return methods;
}

class BinaryOption : public testing::TestWithParam<gradthru::Method> {
 protected:
  std::vector<Estimator> settings() const { return support::sweep(GetParam()); }
};

TEST_P(BinaryOption, PlainAndSamples) {
  for (const Estimator& e : settings())
    expect_all({plain("plain", 1), with_samples(plain("samples", 2), 3)}, e);
}

TEST_P(BinaryOption, Dtypes) {
  BinaryCases cases = {plain("plain", 3), with_samples(plain("samples", 4), 3)};
  for (BinaryCase& c : cases) {
    c.logits = c.logits.to(at::kBFloat16).to(at::kDouble);
    c.g = c.g.to(at::kBFloat16).to(at::kDouble);
  }
  for (const Estimator& e : settings()) expect_all(cases, e, {at::kHalf, at::kBFloat16});
}

TEST_P(BinaryOption, Strides) {
  BinaryCase sliced = plain("sliced", 5), repeated = plain("expanded", 6);
  sliced.logits = support::arranged(sliced.logits, support::Layout::sliced, 0);
  sliced.g = support::arranged(sliced.g, support::Layout::sliced, 0);
  repeated.logits = support::arranged(repeated.logits, support::Layout::expanded, 0);
  for (const Estimator& e : settings()) expect_all({sliced, repeated}, e);
}

TEST_P(BinaryOption, UniformMix) {
  BinaryCases cases = {plain("mix", 7), with_samples(plain("mix and samples", 8), 3)};
  for (BinaryCase& c : cases) c.options.uniform_mix = 0.3;
  const UniformMix taken = gradthru::about(GetParam()).uniform_mix;
  for (const Estimator& e : settings()) {
    if (taken == UniformMix::refused) {
      expect_refused(cases[0], e, "uniform_mix must be 0 for ");
    } else if (taken == UniformMix::tied && e.tau_f != e.tau_b) {
      expect_refused(cases[0], e, "needs tau_b = tau_f");
    } else {
      expect_all(cases, e);
    }
  }
}

TEST_P(BinaryOption, Temperatures) {
  const auto& known = gradthru::about(GetParam()).parameters;
  const at::Tensor tau = at::linspace(0.5, 2, kElements, at::kDouble);
  at::Tensor bad = tau.clone();
  for (const auto& [i, value] : {std::pair{1, 0.0}, {2, -1.0}, {3, kNan}, {4, kInfinity}})
    bad[i].fill_(value);
  for (const bool forward : {true, false})
    for (const Estimator& e : settings()) {
      const bool takes = std::count(known.begin(), known.end(), forward ? "tau_f" : "tau_b") == 1;
      BinaryCases cases;
      for (const at::Tensor& one : {tau, bad, support::tensor_of({0.75})}) {
        BinaryCase c = plain(forward ? "tau_f" : "tau_b", 9);
        if (forward || !e.hard) c.options.tau_f = one;
        if (!forward || !e.hard) c.options.tau_b = one;
        cases.push_back(c);
        cases.push_back(with_samples(c, 2));
      }
      if (takes) {
        expect_all(cases, e);
      } else {
        expect_refused(cases[0], e, forward ? "has no parameter tau_f" : "has no parameter tau_b");
      }
    }
}

TEST_P(BinaryOption, InvalidElementsAndTheCheckThatNamesThem) {
  const Estimator e = support::plain_estimator(GetParam());
  BinaryCase c = plain("NaN", 10);
  c.logits[3].fill_(kNan);
  expect_as_reference(c, e);
  const std::string what(gradthru::name(GetParam()));
  c.options.check = true;
  expect_refused(c, e, what + ": element 3: logits must not be NaN or +inf, got nan");
  const auto known = gradthru::about(GetParam()).parameters;
  if (std::count(known.begin(), known.end(), "tau_f") == 0) return;
  BinaryCase cold = plain("tau", 11);
  cold.options.check = true;
  expect_as_reference(cold, e);
  cold.options.tau_f = at::ones({kElements}).index_fill(0, support::index_tensor({5}), 0);
  expect_refused(cold, e, what + ": element 5: tau_f must be finite and > 0, got 0");
}

INSTANTIATE_TEST_SUITE_P(Table, BinaryOption, testing::ValuesIn(methods_with_a_binary_form()),
                         [](const auto& tested) {
                           return std::string(gradthru::name(tested.param));
                         });

}  // namespace
