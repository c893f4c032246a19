#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "support/random.h"
#include "support/tile_rows.h"

// What the tiles of src/cuda draw, run on the CPU, against the scalar tile in double.
namespace {

using gradthru::Estimator;
using support::kInfinity;
using support::Row;
using support::Sampled;
using support::ThreadRow;
using support::TileCase;
using support::TileMemory;
using support::WarpRow;

constexpr gradthru::Key kKey{.seed = 99, .offset = 7, .row0 = int64_t{1} << 33};

template <class Tile>
class TileSampler : public testing::Test {};
using TileTypes =
    testing::Types<WarpRow<double>, ThreadRow<double>, WarpRow<float>, ThreadRow<float>>;
TYPED_TEST_SUITE(TileSampler, TileTypes);

template <class Tile>
constexpr bool kIsDouble = std::is_same_v<typename Tile::Real, double>;

// -------------------------------------------------------------------------------- the interface

template <class Tile>
int64_t picked(const Row& weights, double u) {
  const Tile t;
  TileMemory<Tile> memory(weights);
  return t.pick(static_cast<int64_t>(weights.size()), u,
                [&](auto k) { return t.load(memory.data(), k); });
}

TYPED_TEST(TileSampler, PickTakesTheOnlyPositiveWeight) {
  for (size_t only : {0, 1, 31, 32, 500, 511, 512, 513, 1024, 1499}) {
    Row weights(1500, 0.0);
    weights[only] = 0.125;
    for (double u : {0x1p-53, 0.5, 1 - 0x1p-53, 1.0})  // 1: as if rounding had left none
      EXPECT_EQ(picked<TypeParam>(weights, u), static_cast<int64_t>(only)) << u;
  }
}

TYPED_TEST(TileSampler, PickFindsEveryCategory) {
  for (int64_t categories : {1, 2, 33, 512, 513, 1100}) {
    const Row weights(static_cast<size_t>(categories), 0.25);
    for (int64_t k = 0; k < categories; ++k) {  // sums of quarters are exact
      const double total = 0.25 * static_cast<double>(categories);
      EXPECT_EQ(picked<TypeParam>(weights, 0.25 * (static_cast<double>(k) + 0.5) / total), k);
    }
    // A running sum that equals the target does not exceed it.
    if (categories == 512) {
      EXPECT_EQ(picked<TypeParam>(weights, 0.5), 256);
    }
  }
}

TYPED_TEST(TileSampler, PickWithoutAnExceedingSumTakesTheLastPositiveWeight) {
  Row weights(1300, 0.1);
  for (size_t k = 700; k < weights.size(); ++k) weights[k] = 0;
  EXPECT_EQ(picked<TypeParam>(weights, 1.0), 699);
}

TYPED_TEST(TileSampler, PickNeverTakesAWeightOfZero) {
  // Targets around the running sums, where prefix sums of another order round differently.
  support::Random random(8);
  for (int row = 0; row < 100; ++row) {
    Row weights = random.normals(row % 10 == 0 ? 600 : 31);
    for (double& w : weights) w = random.integer(0, 2) == 0 ? std::exp(8 * w) : 0.0;
    weights.back() = 1;
    double total = 0, running = 0;
    for (double w : weights) total += w;
    for (double w : weights) {
      running += w;
      for (int step = -3; step <= 3; ++step) {
        const double u = running / total * (1 + step * 0x1p-52);
        const int64_t k = picked<TypeParam>(weights, u);
        ASSERT_GT(weights.at(static_cast<size_t>(k)), 0) << u;
      }
    }
  }
}

TYPED_TEST(TileSampler, FirstLargestAtAndIs) {
  const TypeParam t;
  for (int64_t categories : {1, 31, 32, 33, 70, 513}) {
    Row values(static_cast<size_t>(categories), -3.0);
    for (int64_t place : {int64_t{0}, categories / 2, categories - 1}) {
      values[static_cast<size_t>(place)] = -2;  // below the 0 that lies beyond the row
      TileMemory<TypeParam> memory(values);
      const auto load = [&](auto k) { return t.load(memory.data(), k); };
      EXPECT_EQ(t.scalar_of(t.largest(categories, load)), -2);
      EXPECT_EQ(t.first(categories, [&](auto k) { return t.equal(load(k), t.set(-2)); }), place);
      EXPECT_EQ(t.first(categories, [&](auto k) { return t.is(k, place); }), place);
      EXPECT_EQ(t.first(categories, [&](auto k) { return t.equal(load(k), t.set(0)); }),
                categories);
      EXPECT_EQ(t.scalar_of(t.at(memory.data(), place)), -2);
      EXPECT_EQ(t.scalar_of(t.sum(categories, load)), -3.0 * static_cast<double>(categories) + 1);
      values[static_cast<size_t>(place)] = -3;
    }
  }
}

TYPED_TEST(TileSampler, ExponentialsAreThoseOfTheCells) {
  const TypeParam t;
  using Real = typename TypeParam::Real;
  for (int64_t categories : {1, 3, 4, 33, 128, 129, 1025}) {
    TileMemory<TypeParam> first(categories), second(categories);
    const auto draw = [&](uint64_t offset, Real* target) {
      const typename TypeParam::Stream s{kKey.seed, offset, uint64_t{5} << 32};
      t.each(categories, [&](auto k) { t.store(target, k, t.exponential(s, k)); });
    };
    draw(3, first.data());
    draw((uint64_t{1} << 47) - 1, second.data());
    const Row at_three = first.row(), at_last = second.row();
    for (int64_t k = 0; k < categories; ++k) {
      const auto expect = [&](double actual, uint64_t offset) {
        const double expected = reference::exponential_of(
            reference::cell(kKey.seed, offset, uint64_t{5} << 32, static_cast<uint64_t>(k)));
        EXPECT_NEAR(actual / expected, 1, kIsDouble<TypeParam> ? 4e-16 : 3e-7) << k;
      };
      expect(at_three[static_cast<size_t>(k)], 3);
      expect(at_last[static_cast<size_t>(k)], (uint64_t{1} << 47) - 1);
    }
  }
}

// ------------------------------------------------------------------------------- draws

/// A way to draw: every branch of the kernels' sampler.
struct Drawing {
  std::string name;
  Estimator e;
  double uniform_mix = 0;
};

std::vector<Drawing> drawings() {
  return {{"inverse CDF", gradthru::st({.tau_f = 0.7, .tau_b = 1})},
          {"argmax", gradthru::st({.tau_f = 0, .tau_b = 1})},
          {"mixture", gradthru::st({.tau_f = 0.7, .tau_b = 1}), 0.2},
          {"argmax mixture", gradthru::st({.tau_f = 0, .tau_b = 1}), 0.2},
          {"conditional", gradthru::gumbel_rao({.tau_f = 0.5, .tau_b = 0.5})},
          {"Gumbel, scaled sum", gradthru::gumbel_softmax({.tau = 0.5})},
          {"Gumbel, scaled logits", gradthru::gumbel_softmax({.tau_f = 2, .tau_b = 0.5})}};
}

TileCase drawing_of(const Drawing& how, const Row& logits) {
  TileCase c;
  c.call.logits = logits;
  c.call.mask = std::vector<bool>(logits.size(), true);
  c.call.e = how.e;
  c.call.uniform_mix = how.uniform_mix;
  return c;
}

gradthru::Key key_of_row(int64_t n) {
  gradthru::Key key = kKey;
  key.row0 += n;
  return key;
}

/// The reference wants a gradient to differentiate.
support::RowCall with_gradient(const TileCase& c) {
  support::RowCall call = c.call;
  call.g = Row(call.logits.size(), 0.0);
  return call;
}

/// Rows of every kind that a sampler may stumble over.
Row random_logits(support::Random& random, int64_t categories) {
  Row logits = random.normals(categories, support::kLogitScale);
  for (double& x : logits) {
    x = static_cast<float>(x);
    const int64_t kind = random.integer(0, 19);
    if (kind == 0) x = -kInfinity;
    if (kind == 1) x = -1e4;  // a weight of 0
    if (kind == 2) x = 2;     // ties for the largest, often
  }
  if (random.integer(0, 3) == 0)  // nearly all mass on the last ones
    for (size_t k = 0; k + 2 < logits.size(); ++k) logits[k] -= 20;
  if (logits[0] == -kInfinity) logits[0] = 0;
  return logits;
}

TYPED_TEST(TileSampler, DrawsTheIndicesOfTheScalarTileAndTheReference) {
  const support::TileKind scalar = support::scalar_kind();
  for (const Drawing& how : drawings()) {
    support::Random random(3);
    int64_t rows = 0, other = 0;
    for (int64_t categories : {1, 2, 3, 8, 16, 17, 31, 32, 33, 65, 129, 512, 513, 1500}) {
      for (int64_t n = 0; n < 40; ++n, ++rows) {
        const TileCase c = drawing_of(how, random_logits(random, categories));
        const gradthru::Key key = key_of_row(n);
        const int64_t expected = scalar.sample(c, key).index;
        ASSERT_EQ(support::reference_row(with_gradient(c), key, 0).index, expected) << how.name;
        const Sampled actual = support::tile_sample<TypeParam>(c, key);
        other += actual.index != expected;
        Row onehot(c.call.logits.size(), 0.0);
        onehot.at(static_cast<size_t>(actual.index)) = 1;
        ASSERT_EQ(actual.value, onehot) << how.name << " K=" << categories;
        ASSERT_GT(c.call.logits[static_cast<size_t>(actual.index)], -kInfinity) << how.name;
      }
    }
    // In single precision u times the total may fall on the other side of a boundary: 1e-5 of rows.
    EXPECT_LE(other, kIsDouble<TypeParam> ? 0 : 1) << how.name << ", " << rows << " rows";
  }
}

}  // namespace
