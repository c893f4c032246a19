#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/estimators.h"
#include "support/random.h"
#include "support/tile_rows.h"
#include "support/tolerance.h"

// Every rule on the tiles of src/cuda, run on the CPU, against the scalar tile in double (the same
// formula, other loops) and against the slow reference (another formula, the plain loop).
namespace {

using gradthru::Estimator;
using support::Row;
using Case = support::BackwardRow;

const std::vector<int64_t> kSizes = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 1000, 1025};
constexpr gradthru::Key kKey{.seed = 271828, .offset = 40, .row0 = 9};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Numbers that both precisions hold, so that they differ by arithmetic only.
Row rounded(Row values) {
  for (double& x : values) x = static_cast<float>(x);
  return values;
}

Case random_case(support::Random& random, int64_t categories) {
  return {rounded(random.normals(categories, support::kLogitScale)),
          rounded(random.normals(categories)), random.integer(0, categories - 1), true};
}

/// Takes away about a third of the categories but the sample; their gradients must not matter.
Case masked(Case c, support::Random& random) {
  for (size_t k = 0; k < c.logits.size(); ++k) {
    if (static_cast<int64_t>(k) == c.index || random.integer(0, 2) != 0) continue;
    c.logits[k] = -kInfinity;
    c.grad[k] = kNan;
  }
  return c;
}

double largest_of(const Row& values) {
  double largest = 0;
  for (double x : values) largest = std::fmax(largest, std::abs(x));  // NaN is no number
  return largest;
}

double tolerance_of(const Case& c, const Estimator& e, at::ScalarType dtype) {
  const Row probs = reference::softmax(c.logits, support::sampling_tau(e));
  const double smallest_tau = std::min({e.tau_f.start, e.tau_b.start, 1.0});
  return support::gradient_tolerance(dtype, largest_of(c.grad), e,
                                     probs[static_cast<size_t>(c.index)]) /
         (dtype == at::kDouble ? smallest_tau : 1);
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

/// What the reference makes of the categories that exist, and 0 elsewhere.
Row reference_gradient(const Case& c, const Estimator& e) {
  Row logits, grad;
  std::vector<size_t> kept;
  int64_t index = 0;
  for (size_t k = 0; k < c.logits.size(); ++k) {
    if (c.logits[k] == -kInfinity) continue;
    if (static_cast<int64_t>(k) == c.index) index = static_cast<int64_t>(kept.size());
    kept.push_back(k);
    logits.push_back(c.logits[k]);
    grad.push_back(c.grad[k]);
  }
  reference::Noise noise =
      reference::row_noise(kKey.seed, kKey.offset, static_cast<uint64_t>(kKey.row0), c.given);
  const reference::Noise whole = noise;  // columns are those of the row with its gaps
  noise.gumbel = [&](int64_t k) {
    return whole.gumbel(static_cast<int64_t>(kept[static_cast<size_t>(k)]));
  };
  noise.exponential = [&](int64_t m, int64_t k) {
    return whole.exponential(m, static_cast<int64_t>(kept[static_cast<size_t>(k)]));
  };
  const Row some =
      support::reference_of(e.method).grad(logits, index, grad, support::settings_of(e), noise);
  Row result(c.logits.size(), 0.0);
  for (size_t i = 0; i < kept.size(); ++i) result[kept[i]] = some[i];
  return result;
}

class TileParity : public testing::TestWithParam<Estimator> {
 protected:
  /// Both tiles in both precisions against `expected`.
  static void expect_tiles(const Case& c, const Row& expected, const std::string& what) {
    const Estimator& e = GetParam();
    for (const support::TileKind& tile : support::tile_kinds()) {
      const Row actual = tile.gradient(e, c, kKey);
      expect_near(actual, expected, tolerance_of(c, e, tile.dtype), tile.name + " " + what);
    }
  }
};

TEST_P(TileParity, ScalarTileAndReference) {
  support::Random random(1);
  for (int64_t categories : kSizes)
    for (bool has_mask : {false, true})
      for (bool given : {false, true}) {
        Case c = random_case(random, categories);
        if (has_mask) c = masked(c, random);
        const std::string what = "K=" + std::to_string(categories) + (has_mask ? " masked" : "") +
                                 (given ? " given" : "");
        c.given = given;
        expect_tiles(c, support::scalar_gradient(GetParam(), c, kKey),
                     "against the scalar tile, " + what);
        expect_tiles(c, reference_gradient(c, GetParam()), "against the reference, " + what);
      }
}

TEST_P(TileParity, InvalidRowsAreNanThroughout) {
  support::Random random(2);
  for (int64_t categories : {2, 33, 200})
    for (double poison : {kNan, kInfinity}) {
      Case c = random_case(random, categories);
      c.logits[static_cast<size_t>((c.index + 1) % categories)] = poison;
      for (const support::TileKind& tile : support::tile_kinds()) {
        for (double x : tile.gradient(GetParam(), c, kKey))
          ASSERT_TRUE(std::isnan(x)) << tile.name << " K=" << categories;
      }
    }
}

TEST_P(TileParity, SaturatedLogitsStayFinite) {
  for (int64_t categories : {2, 40}) {
    Case c{Row(static_cast<size_t>(categories), -1e4), Row(static_cast<size_t>(categories), 1), 0,
           true};
    c.logits[1] = 1e4;
    c.grad[1] = -2;
    if (GetParam().method == gradthru::Method::reinmax_uniform) c.index = 1;  // divides by p
    for (const support::TileKind& tile : support::tile_kinds()) {
      for (double x : tile.gradient(GetParam(), c, kKey))
        ASSERT_TRUE(std::isfinite(x)) << tile.name << " K=" << categories;
    }
  }
}

TEST_P(TileParity, RowsWithoutASample) {
  support::Random random(5);
  for (int64_t categories : {3, 40})
    for (const support::TileKind& tile : support::tile_kinds()) {
      Case c = random_case(random, categories);
      c.logits[2] = -kInfinity;
      const auto expect_all = [&](int64_t index, bool given, const auto& holds) {
        c.index = index;
        c.given = given;
        for (double x : tile.gradient(GetParam(), c, kKey))
          ASSERT_TRUE(holds(x)) << tile.name << " index " << index << (given ? " given" : "");
      };
      const auto zero = [](double x) { return x == 0; };
      const auto nan = [](double x) { return std::isnan(x); };
      expect_all(-1, true, zero);  // a skipped row
      expect_all(2, true, nan);    // a category that does not exist
      expect_all(categories, true, nan);
      expect_all(categories, false, nan);
      c.logits[0] = kInfinity;
      expect_all(-1, false, nan);  // an invalid row
      c.logits = Row(c.logits.size(), -kInfinity);
      expect_all(-1, false, zero);  // an empty row
    }
}

TEST_P(TileParity, SamplesAddUp) {
  support::Random random(6);
  const Estimator& e = GetParam();
  constexpr int64_t kSamples = 3;
  for (int64_t categories : {5, 70}) {
    std::vector<Case> cases;
    Row expected(static_cast<size_t>(categories), 0.0);
    double tolerance = 0;
    gradthru::Key key = kKey;
    for (int64_t s = 0; s < kSamples; ++s) {
      cases.push_back(random_case(random, categories));
      cases.back().logits = cases.front().logits;
      cases.back().given = false;
      const Row one = support::scalar_gradient(e, cases.back(), key);
      for (size_t k = 0; k < one.size(); ++k) expected[k] += one[k];
      tolerance += tolerance_of(cases.back(), e, at::kDouble);
      key.take(support::offsets_of(e));
    }
    for (const support::TileKind& tile : support::tile_kinds()) {
      const double wider = tile.dtype == at::kFloat ? 1e7 : 1;  // 1e-5 in place of 1e-12
      expect_near(tile.gradient_of_samples(e, cases, kKey), expected, wider * tolerance, tile.name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, TileParity, testing::ValuesIn(support::tile_sweep()),
                         [](const auto& info) { return support::test_name(info.param); });

/// Estimators that have a form for uniform_mix.
std::vector<Estimator> mixing_estimators() {
  return {gradthru::st({.tau_f = 0.7, .tau_b = 1.3}), gradthru::darn({.tau_f = 0.5}),
          gradthru::zgr({.tau_f = 0.7}), gradthru::st_zgr({.tau_f = 2, .alpha = 0.5}),
          gradthru::reinmax({.tau_f = 0.7, .tau_b = 0.7})};
}

TEST(TileMixture, EqualsTheScalarTile) {
  support::Random random(7);
  for (const Estimator& e : mixing_estimators())
    for (int64_t categories : kSizes)
      for (double epsilon : {0.05, 0.5})
        for (bool has_mask : {false, true}) {
          Case c = random_case(random, categories);
          if (has_mask) c = masked(c, random);
          c.uniform_mix = epsilon;
          const Row expected = support::scalar_gradient(e, c, kKey);
          for (const support::TileKind& tile : support::tile_kinds()) {
            // (u / p) is at most as much larger than u as the smallest p is below 1.
            const double p = epsilon / static_cast<double>(categories);
            expect_near(tile.gradient(e, c, kKey), expected,
                        tolerance_of(c, e, tile.dtype) / (tile.dtype == at::kFloat ? 1 : p),
                        tile.name + " " + to_string(e) + " K=" + std::to_string(categories));
          }
        }
}

}  // namespace
