#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cuda/binary_element.h"
#include "support/random.h"
#include "support/tile_rows.h"
#include "support/tolerance.h"

// The binary form of every rule as the CUDA kernels compute it, run on the CPU, against the slow
// reference.
namespace {

using gradthru::Estimator;
using gradthru::cuda::BinaryBackwardCall;
using gradthru::cuda::BinarySampleCall;
using support::ElementCall;
using support::ElementOutcome;
using support::kInfinity;
using support::kNan;
using support::Row;

// Elements lie across the end of a row of the stream.
constexpr gradthru::Key kKey{.seed = 31, .offset = 41, .row0 = (int64_t{1} << 32) - 20};
constexpr int64_t kElements = 40, kSamples = 2;

/// Elements [N] with gradients [samples, N], all with one estimator.
struct Elements {
  Estimator e;
  Row logits, g;
  double uniform_mix = 0;
  bool plus_minus_one = false;
  Row given{};           ///< of every element, or empty
  Row tau_f{}, tau_b{};  ///< of every element, or empty
};

Row rounded(Row values) {
  for (double& x : values) x = static_cast<float>(x);
  return values;
}

Elements random_elements(support::Random& random, const Estimator& e) {
  return {e, rounded(random.normals(kElements, support::kLogitScale)),
          rounded(random.normals(kSamples * kElements))};
}

ElementCall element(const Elements& all, int64_t n, int64_t sample) {
  const auto i = static_cast<size_t>(n);
  ElementCall call{.logit = all.logits[i],
                   .g = all.g[static_cast<size_t>(sample * kElements + n)],
                   .e = all.e,
                   .uniform_mix = all.uniform_mix,
                   .plus_minus_one = all.plus_minus_one};
  const double threshold = all.plus_minus_one ? 0 : 0.5;
  if (!all.given.empty()) call.given = all.given[i] > threshold ? 1 : 0;
  if (!all.tau_f.empty()) {
    call.e.tau_f = all.tau_f[i];
    call.e.tau_b = all.tau_b[i];
    call.temperatures_valid =
        support::valid_temperature(all.tau_f[i]) && support::valid_temperature(all.tau_b[i]);
  }
  return call;
}

template <class Real>
class Run {
 public:
  using Tile = gradthru::cuda::ThreadTile<Real>;

  explicit Run(const Elements& all)
      : all_(all),
        logits_(all.logits.begin(), all.logits.end()),
        g_(all.g.begin(), all.g.end()),
        given_(all.given.begin(), all.given.end()) {}

  Row sample() {
    BinarySampleCall<Real> call{};
    fill(call);
    call.draw = support::kernel_draw_of(all_.e.method);
    call.relaxed = !all_.e.hard;
    call.given = given_.empty() ? nullptr : given_.data();
    call.given_count = kElements;
    value_.assign(g_.size(), 0);
    call.value = value_.data();
    call = gradthru::cuda::prepared(call);
    for (int64_t n = 0; n < kElements; ++n)
      for (int64_t s = 0; s < kSamples; ++s) gradthru::cuda::sample_element(Tile{}, call, n, s);
    return {value_.begin(), value_.end()};
  }

  /// At the values of the last sample().
  Row gradient() {
    BinaryBackwardCall<Real> call{};
    fill(call);
    call.grad = g_.data();
    call.sample = value_.data();
    call.given = !given_.empty();
    std::vector<Real> out(kElements);
    call.out = out.data();
    call = gradthru::cuda::prepared(call);
    support::with_rule(all_.e.method, [&]<class Rule>(Rule, auto) {
      for (int64_t n = 0; n < kElements; ++n)
        gradthru::cuda::backward_element<Rule>(Tile{}, call, n);
    });
    return {out.begin(), out.end()};
  }

 private:
  template <class Call>
  void fill(Call& call) const {
    call.N = kElements;
    call.samples = kSamples;
    call.logits = logits_.data();
    call.params = support::params_of(all_.e);
    call.uniform_mix = all_.uniform_mix;
    call.stream = {kKey.seed, kKey.offset, static_cast<uint64_t>(kKey.row0)};
    call.offsets = support::offsets_of(all_.e, !given_.empty());
    call.off = all_.plus_minus_one ? -1 : 0;
    call.on = 1;
    if (all_.tau_f.empty()) return;
    call.rows.tau_f = all_.tau_f.data();
    call.rows.tau_b = all_.tau_b.data();
    call.params.tau_f = call.params.tau_b = 1;  // not to be looked at
  }

  const Elements& all_;
  std::vector<Real> logits_, g_, given_, value_;
};

void expect_number(double actual, double expected, double tolerance, const std::string& what) {
  if (std::isnan(expected)) {
    ASSERT_TRUE(std::isnan(actual)) << what << ": " << actual;
  } else {
    ASSERT_NEAR(actual, expected, tolerance) << what;
  }
}

template <class Real>
void expect_as_reference(const Elements& all, const std::string& what) {
  constexpr bool kDouble = std::is_same_v<Real, double>;
  Run<Real> run(all);
  const Row value = run.sample(), gradient = run.gradient();
  for (int64_t n = 0; n < kElements; ++n) {
    const std::string where = what + " element " + std::to_string(n) + (kDouble ? "" : " float");
    double sum = 0, tolerance = 0;
    for (int64_t s = 0; s < kSamples; ++s) {
      gradthru::Key key = kKey;
      key.take(static_cast<uint64_t>(s) * support::offsets_of(all.e, !all.given.empty()));
      const ElementCall call = element(all, n, s);
      const ElementOutcome expected = support::reference_element(call, key, n);
      expect_number(value[static_cast<size_t>(s * kElements + n)], expected.value,
                    all.e.hard ? 0
                    : kDouble  ? 1e-12
                               : 2e-5,
                    where + " value");
      sum += expected.grad;
      const double smallest_tau = std::min({call.e.tau_f.start, call.e.tau_b.start, 1.0});
      tolerance += support::gradient_tolerance(kDouble ? at::kDouble : at::kFloat,
                                               2 * std::abs(call.g), call.e, 1) /
                   (kDouble ? smallest_tau : 1);
    }
    // A mixture divides by a probability of at least half its share.
    if (all.uniform_mix > 0) tolerance *= 2 / all.uniform_mix;
    expect_number(gradient[static_cast<size_t>(n)], sum, tolerance, where + " gradient");
  }
}

class TileBinary : public testing::TestWithParam<Estimator> {
 protected:
  /// In both precisions and codings, drawn and given.
  static void expect_all(Elements all, const std::string& what) {
    for (bool plus_minus_one : {false, true})
      for (bool given : {false, true}) {
        all.plus_minus_one = plus_minus_one;
        all.given.clear();
        for (int64_t n = 0; given && n < kElements; ++n)
          all.given.push_back(n % 3 == 0 ? 1 : plus_minus_one ? -1 : 0);
        const std::string where = what + (plus_minus_one ? " +-1" : "") + (given ? " given" : "");
        expect_as_reference<double>(all, where);
        expect_as_reference<float>(all, where);
      }
  }
};

TEST_P(TileBinary, EqualsTheReference) {
  support::Random random(1);
  Elements all = random_elements(random, GetParam());
  all.logits[0] = 0;
  all.logits[5] = kNan;
  expect_all(all, "plain");
}

TEST_P(TileBinary, TemperaturesOfElements) {
  support::Random random(2);
  Elements all = random_elements(random, GetParam());
  for (int64_t n = 0; n < kElements; ++n) {
    all.tau_f.push_back(n % 2 == 0 ? 0.5 : 2);
    all.tau_b.push_back(GetParam().hard ? 0.75 : all.tau_f.back());
  }
  all.tau_f[3] = 0;
  all.tau_f[4] = kNan;
  all.tau_b[5] = -1;
  all.tau_b[6] = kInfinity;
  expect_all(all, "temperatures");
}

INSTANTIATE_TEST_SUITE_P(Registry, TileBinary, testing::ValuesIn(support::tile_sweep()),
                         [](const auto& info) { return support::test_name(info.param); });

class TileBinaryMixture : public TileBinary {};

TEST_P(TileBinaryMixture, EqualsTheReference) {
  support::Random random(3);
  Elements all = random_elements(random, GetParam());
  all.logits[5] = kNan;
  for (double epsilon : {0.1, 0.5}) {
    all.uniform_mix = epsilon;
    expect_all(all, "mixture");
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, TileBinaryMixture,
                         testing::ValuesIn(support::mixing_tile_sweep()),
                         [](const auto& info) { return support::test_name(info.param); });

TEST(TileBinaryAtZero, SampleIsAStepWithAndWithoutAMixture) {
  support::Random random(4);
  Elements all = random_elements(random, gradthru::st({.tau_f = 0, .tau_b = 1}));
  all.logits[0] = all.logits[1] = 0;
  for (double epsilon : {0.0, 0.5}) {
    all.uniform_mix = epsilon;
    expect_as_reference<double>(all, "tau_f = 0");
    expect_as_reference<float>(all, "tau_f = 0");
  }
}

}  // namespace
