#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "support/random.h"
#include "support/tile_rows.h"
#include "support/tolerance.h"

// Every rule on the tiles of src/cuda, run on the CPU, against the slow reference (another formula,
// the plain loop) and against the scalar tile in double (the same formula, other loops).
namespace {

using gradthru::Estimator;
using support::kInfinity;
using support::kNan;
using support::Row;
using support::RowOutcome;
using support::Sampled;
using support::TileCase;
using support::TileKind;

const std::vector<int64_t> kSizes = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 1000, 1025};
constexpr gradthru::Key kKey{.seed = 271828, .offset = 40, .row0 = 9};

/// Numbers that both precisions hold, so that they differ by arithmetic only.
Row rounded(Row values) {
  for (double& x : values) x = static_cast<float>(x);
  return values;
}

TileCase random_case(support::Random& random, const Estimator& e, int64_t categories) {
  TileCase c;
  c.call.e = e;
  c.call.logits = rounded(random.normals(categories, support::kLogitScale));
  c.call.g = rounded(random.normals(categories));
  c.call.mask = std::vector<bool>(static_cast<size_t>(categories), true);
  c.index = random.integer(0, categories - 1);
  return c;
}

/// Takes away about a third of the categories but `index`, half of those by the mask; what arrives
/// there must not matter.
TileCase masked(TileCase c, support::Random& random) {
  for (size_t k = 0; k < c.call.logits.size(); ++k) {
    if (static_cast<int64_t>(k) == c.index || random.integer(0, 2) != 0) continue;
    const bool by_mask = random.integer(0, 1) == 0;
    if (by_mask) c.call.mask[k] = false;
    c.call.logits[k] = by_mask ? kNan : -kInfinity;
    c.call.g[k] = kNan;
  }
  return c;
}

double largest_of(const Row& values) {
  double largest = 0;
  for (double x : values) largest = std::fmax(largest, std::abs(x));  // NaN is no number
  return largest;
}

double tolerance_of(const TileCase& c, double probability, at::ScalarType dtype) {
  const Estimator& e = c.call.e;
  const double smallest_tau = std::min({e.tau_f.start, e.tau_b.start, 1.0});
  const double tolerance = support::gradient_tolerance(dtype, largest_of(c.call.g), e, probability);
  if (dtype == at::kFloat) return tolerance;
  // Under a mixture (u / p) is at most as much larger than u as the smallest p is below 1.
  const double p = c.call.uniform_mix / static_cast<double>(c.call.g.size());
  return tolerance / smallest_tau / (p > 0 ? p : 1);
}

void expect_near(const Row& actual, const Row& expected, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t k = 0; k < expected.size(); ++k) {
    // Written so that a NaN on one side fails.
    ASSERT_TRUE(std::abs(actual[k] - expected[k]) <= tolerance)
        << what << " k=" << k << ": " << actual[k] << ", expected " << expected[k] << " within "
        << tolerance;
  }
}

class TileParity : public testing::TestWithParam<Estimator> {
 protected:
  /// Draws and differentiates the row on every tile.
  static void expect_tiles(TileCase c, std::string what) {
    const RowOutcome expected = support::reference_row(c.call, kKey, 0);
    what += " K=" + std::to_string(c.call.logits.size());
    c.index = expected.index;
    const TileKind scalar = support::scalar_kind();
    const Row scalar_gradient = scalar.gradient(c, kKey);
    const Sampled scalar_sample = scalar.sample(c, kKey);
    for (const TileKind& tile : support::tile_kinds()) {
      const std::string where = tile.name + " " + what;
      const Sampled sample = tile.sample(c, kKey);
      ASSERT_EQ(sample.index, expected.index) << where;
      ASSERT_EQ(sample.index, scalar_sample.index) << where;
      const double value_tolerance = c.call.e.hard ? 0 : tile.dtype == at::kDouble ? 1e-12 : 2e-5;
      expect_near(sample.value, expected.value, value_tolerance, where + " sample");
      const Row gradient = tile.gradient(c, kKey);
      const double tolerance = tolerance_of(c, expected.probability, tile.dtype);
      expect_near(gradient, expected.grad, tolerance, where + " against the reference");
      expect_near(gradient, scalar_gradient, tolerance, where + " against the scalar tile");
    }
  }
};

TEST_P(TileParity, ReferenceAndScalarTile) {
  support::Random random(1);
  for (int64_t categories : kSizes)
    for (bool has_mask : {false, true})
      for (bool given : {false, true}) {
        TileCase c = random_case(random, GetParam(), categories);
        if (has_mask) c = masked(c, random);
        if (given) c.call.given = c.index;
        expect_tiles(c, std::string(has_mask ? "masked" : "") + (given ? " given" : ""));
      }
}

TEST_P(TileParity, TemperaturesOfRows) {
  support::Random random(2);
  for (int64_t categories : {2, 16, 33, 300})
    for (double tau_f : {0.25, 3.0}) {
      TileCase c = random_case(random, GetParam(), categories);
      c.row_temperatures = true;
      c.call.e.tau_f = tau_f;
      c.call.e.tau_b = GetParam().hard ? 0.75 : tau_f;
      expect_tiles(c, "temperatures of rows");
      for (double none : {0.0, -1.0, kInfinity, kNan}) {
        c.call.e.tau_b = none;
        c.call.temperatures_valid = false;
        const RowOutcome expected = support::reference_row(c.call, kKey, 0);
        ASSERT_EQ(expected.state, support::State::invalid);
        for (const TileKind& tile : support::tile_kinds()) {
          ASSERT_EQ(tile.sample(c, kKey).index, -1) << tile.name;
          for (double x : tile.sample(c, kKey).value) ASSERT_TRUE(std::isnan(x)) << tile.name;
          for (double x : tile.gradient(c, kKey)) ASSERT_TRUE(std::isnan(x)) << tile.name;
        }
      }
      c.call.temperatures_valid = true;
    }
}

TEST_P(TileParity, InvalidRowsAreNanThroughout) {
  support::Random random(3);
  for (int64_t categories : {2, 33, 200})
    for (double poison : {kNan, kInfinity})
      for (bool given : {false, true}) {
        TileCase c = random_case(random, GetParam(), categories);
        c.call.logits[static_cast<size_t>((c.index + 1) % categories)] = poison;
        if (given) c.call.given = c.index;
        for (const TileKind& tile : support::tile_kinds()) {
          const std::string what = tile.name + " K=" + std::to_string(categories);
          for (double x : tile.gradient(c, kKey)) ASSERT_TRUE(std::isnan(x)) << what;
          const Sampled sample = tile.sample(c, kKey);
          ASSERT_EQ(sample.index, -1) << what;
          for (double x : sample.value) ASSERT_TRUE(std::isnan(x)) << what;
        }
      }
}

TEST_P(TileParity, SaturatedLogitsStayFinite) {
  support::Random random(4);
  for (int64_t categories : {2, 40}) {
    TileCase c = random_case(random, GetParam(), categories);
    std::fill(c.call.logits.begin(), c.call.logits.end(), -1e4);
    c.call.logits[1] = 1e4;
    // reinmax_uniform divides by the probability of the index
    c.index = GetParam().method == gradthru::Method::reinmax_uniform ? 1 : 0;
    c.call.given = c.index;
    for (const TileKind& tile : support::tile_kinds()) {
      for (double x : tile.gradient(c, kKey))
        ASSERT_TRUE(std::isfinite(x)) << tile.name << " K=" << categories;
    }
  }
}

TEST_P(TileParity, RowsWithoutASample) {
  support::Random random(5);
  const auto zero = [](double x) { return x == 0; };
  const auto nan = [](double x) { return std::isnan(x); };
  for (int64_t categories : {3, 40})
    for (const TileKind& tile : support::tile_kinds()) {
      TileCase c = random_case(random, GetParam(), categories);
      const auto expect_all = [&](int64_t index, bool given, const auto& holds) {
        c.index = index;
        c.call.given.reset();
        if (given) c.call.given = index;
        const std::string what = tile.name + " index " + std::to_string(index);
        for (double x : tile.gradient(c, kKey)) ASSERT_TRUE(holds(x)) << what;
        if (!given && index != -1) return;  // a foreign index is no matter of the draw
        const Sampled sample = tile.sample(c, kKey);
        ASSERT_EQ(sample.index, -1) << what;
        for (double x : sample.value) ASSERT_TRUE(holds(x)) << what;
      };
      c.call.logits[1] = -kInfinity;
      c.call.mask[2] = false;
      expect_all(-1, true, zero);  // a skipped row
      expect_all(1, true, nan);    // categories that do not exist
      expect_all(2, true, nan);
      expect_all(categories, true, nan);
      expect_all(-2, true, nan);
      expect_all(categories, false, nan);
      c.call.logits[0] = kInfinity;
      expect_all(-1, false, nan);  // an invalid row
      c.call.logits = Row(c.call.logits.size(), -kInfinity);
      expect_all(-1, false, zero);  // empty rows
      c.call.logits = Row(c.call.logits.size(), 0);
      c.call.mask = std::vector<bool>(c.call.logits.size(), false);
      expect_all(-1, false, zero);
    }
}

TEST_P(TileParity, SamplesAddUp) {
  support::Random random(6);
  constexpr int64_t kSamples = 3;
  for (int64_t categories : {5, 70}) {
    std::vector<TileCase> cases;
    Row expected(static_cast<size_t>(categories), 0.0);
    double tolerance = 0;
    gradthru::Key key = kKey;
    for (int64_t s = 0; s < kSamples; ++s) {
      cases.push_back(random_case(random, GetParam(), categories));
      cases.back().call.logits = cases.front().call.logits;
      const RowOutcome one = support::reference_row(cases.back().call, key, 0);
      cases.back().index = one.index;
      for (size_t k = 0; k < expected.size(); ++k) expected[k] += one.grad[k];
      tolerance += tolerance_of(cases.back(), one.probability, at::kDouble);
      key.take(support::offsets_of(GetParam()));
    }
    for (const TileKind& tile : support::tile_kinds()) {
      const double wider = tile.dtype == at::kFloat ? 1e7 : 1;  // 1e-5 in place of 1e-12
      expect_near(tile.gradient_of_samples(cases, kKey), expected, wider * tolerance, tile.name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, TileParity, testing::ValuesIn(support::tile_sweep()),
                         [](const auto& info) { return support::test_name(info.param); });

class TileMixture : public TileParity {};

TEST_P(TileMixture, ReferenceAndScalarTile) {
  support::Random random(7);
  for (int64_t categories : kSizes)
    for (double epsilon : {0.05, 0.5})
      for (bool has_mask : {false, true}) {
        TileCase c = random_case(random, GetParam(), categories);
        if (has_mask) c = masked(c, random);
        c.call.uniform_mix = epsilon;
        expect_tiles(c, "mixture");
      }
}

INSTANTIATE_TEST_SUITE_P(Registry, TileMixture, testing::ValuesIn(support::mixing_tile_sweep()),
                         [](const auto& info) { return support::test_name(info.param); });

}  // namespace
