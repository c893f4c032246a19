#include "reference/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "math/philox.h"
#include "support/statistics.h"

// The contract of the random numbers: published answers and the transforms. philox_cells_test holds
// them to Random123; that the library draws the same ones is checked through its public calls in
// sampler_test.
namespace {

using reference::Block;
using reference::cell;
using reference::philox;
namespace math = gradthru::math;

constexpr uint64_t kSeed = 12345;
constexpr uint64_t kOffset = 3;

TEST(Philox, KnownAnswers) {
  constexpr uint32_t kOnes = 0xFFFFFFFF;
  EXPECT_EQ(philox({0, 0, 0, 0}, 0, 0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, kOnes, kOnes),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Cell, KnownWords) {
  EXPECT_EQ(cell(kSeed, kOffset, 0, 0), 0xd3c55cff52a418ae);
  EXPECT_EQ(cell(kSeed, kOffset, 1, 1), 0xaf91868f24d2506a);
  EXPECT_EQ(cell(kSeed, kOffset, 7, 0), 0x97da4e4b3bb5b888);
  EXPECT_EQ(cell(kSeed, kOffset, 7, 1), 0x1c0e20183395f94a);
  EXPECT_EQ(cell(kSeed, kOffset, 7, 2), 0x6808fe07da6699ce);
  EXPECT_EQ(cell(kSeed, kOffset, (uint64_t{1} << 33) + 5, 3), 0x96cb4c6428dff819);
}

TEST(Cell, KnownWordsOfTheKernels) {
  EXPECT_EQ(math::cell_word(kSeed, kOffset, 0, 0), 0xd3c55cff52a418ae);
  EXPECT_EQ(math::cell_word(kSeed, kOffset, 1, 1), 0xaf91868f24d2506a);
  EXPECT_EQ(math::cell_word(kSeed, kOffset, 7, 0), 0x97da4e4b3bb5b888);
  EXPECT_EQ(math::cell_word(kSeed, kOffset, 7, 1), 0x1c0e20183395f94a);
  EXPECT_EQ(math::cell_word(kSeed, kOffset, 7, 2), 0x6808fe07da6699ce);
  EXPECT_EQ(math::cell_word(kSeed, kOffset, (uint64_t{1} << 33) + 5, 3), 0x96cb4c6428dff819);
}

TEST(Cell, KnownTransforms) {
  constexpr double kPrinted = 1e-12;
  const auto word = [](uint64_t row, uint64_t column) { return cell(kSeed, kOffset, row, column); };
  EXPECT_NEAR(reference::uniform_of(word(0, 0)), .827230274520, kPrinted);
  EXPECT_NEAR(reference::gumbel_of(word(0, 0)), -.562922109014, kPrinted);
  EXPECT_NEAR(reference::logistic_of(word(0, 0)), 1.566123460621, kPrinted);
  EXPECT_NEAR(reference::gumbel_of(word(1, 1)), -.146496647985, kPrinted);
  EXPECT_NEAR(reference::gumbel_of(word(7, 1)), 2.153528650957, kPrinted);
  EXPECT_NEAR(reference::logistic_of(word(7, 2)), -.378920806672, kPrinted);
  EXPECT_NEAR(reference::gumbel_of(word((uint64_t{1} << 33) + 5, 3)), .117367434449, kPrinted);
}

TEST(Cell, EveryFieldOfTheCounterCounts) {
  constexpr uint64_t kRow = 5, kColumn = 6;
  const uint64_t word = cell(kSeed, kOffset, kRow, kColumn);
  const std::vector<uint64_t> others = {cell(kSeed + 1, kOffset, kRow, kColumn),
                                        cell(kSeed + (uint64_t{1} << 32), kOffset, kRow, kColumn),
                                        cell(kSeed, kOffset + 1, kRow, kColumn),
                                        cell(kSeed, kOffset + (uint64_t{1} << 46), kRow, kColumn),
                                        cell(kSeed, kOffset, kRow + 1, kColumn),
                                        cell(kSeed, kOffset, kRow + (uint64_t{1} << 47), kColumn),
                                        cell(kSeed, kOffset, kRow, kColumn + 1),
                                        cell(kSeed, kOffset, kRow, kColumn + (uint64_t{1} << 33))};
  for (uint64_t other : others) EXPECT_NE(other, word);
}

TEST(Transform, EndsOfTheRange) {
  constexpr uint64_t kLast = ~uint64_t{0};
  EXPECT_EQ(reference::uniform_of(0), std::ldexp(1.0, -53));
  EXPECT_EQ(reference::uniform_of(kLast), 1 - std::ldexp(1.0, -53));
  EXPECT_EQ(reference::v_of(0), std::ldexp(1.0, -65));
  EXPECT_EQ(reference::one_minus_v_of(kLast), std::ldexp(1.0, -65));
  EXPECT_NEAR(reference::gumbel_of(0), 45.055, 5e-4);
  EXPECT_NEAR(reference::gumbel_of(kLast), -3.808, 5e-4);
  EXPECT_NEAR(reference::logistic_of(0), -45.055, 5e-4);
  EXPECT_EQ(reference::logistic_of(0), -reference::logistic_of(kLast));
}

TEST(Transform, ExponentialIsContinuousAcrossTheMiddle) {
  const uint64_t middle = uint64_t{1} << 63;
  EXPECT_NEAR(reference::exponential_of(middle - 1), std::log(2.0), 1e-15);
  EXPECT_NEAR(reference::exponential_of(middle), std::log(2.0), 1e-15);
}

/// Words at which a transform may go wrong.
std::vector<uint64_t> telling_words() {
  std::vector<uint64_t> words = {0, 1, 4095, 4096, ~uint64_t{0}, ~uint64_t{0} - 1};
  for (int bit = 0; bit < 64; ++bit)
    for (uint64_t near : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) {
      words.push_back((uint64_t{1} << bit) + near);
      words.push_back(~((uint64_t{1} << bit) + near));
    }
  std::mt19937_64 engine(3);
  for (int i = 0; i < 20000; ++i) words.push_back(engine() >> (i % 64));
  return words;
}

TEST(Transform, KernelsAgreeWithTheReference) {
  for (uint64_t word : telling_words()) {
    ASSERT_EQ(math::index_uniform(word), reference::uniform_of(word)) << word;
    const double v = reference::v_of(word), rest = reference::one_minus_v_of(word);
    const math::Unit<double> wide = math::unit_of_word<double>(word);
    const math::Unit<float> narrow = math::unit_of_word<float>(word);
    ASSERT_NEAR(wide.v / v, 1, 0x1p-52) << word;
    ASSERT_NEAR(wide.complement / rest, 1, 0x1p-52) << word;
    ASSERT_NEAR(narrow.v / v, 1, 0x1p-24) << word;
    ASSERT_NEAR(narrow.complement / rest, 1, 0x1p-24) << word;
  }
}

TEST(LowWord, MattersInTheOuterCellsOnly) {
  constexpr uint32_t kEdge = uint32_t{1} << 24;
  EXPECT_TRUE(math::needs_low_word(0));
  EXPECT_TRUE(math::needs_low_word(kEdge - 1));
  EXPECT_FALSE(math::needs_low_word(kEdge));
  EXPECT_FALSE(math::needs_low_word(~kEdge));
  EXPECT_TRUE(math::needs_low_word(~(kEdge - 1)));
  EXPECT_TRUE(math::needs_low_word(~uint32_t{0}));
}

/// The largest relative change of v and 1 - v when the low word is left out.
double change_without_low_word(uint32_t high) {
  double change = 0;
  for (uint64_t low : {uint64_t{0}, uint64_t{0x7fffffff}, uint64_t{0xffffffff}}) {
    const uint64_t word = (uint64_t{high} << 32) | low;
    const math::Unit<double> some = math::unit_of_high<double>(high);
    change = std::max({change, std::abs(some.v / reference::v_of(word) - 1),
                       std::abs(some.complement / reference::one_minus_v_of(word) - 1)});
  }
  return change;
}

TEST(LowWord, IsBelowRoundingWhereItIsLeftOut) {
  constexpr uint32_t kEdge = uint32_t{1} << 24;
  std::mt19937 engine(4);
  for (int i = 0; i < 20000; ++i) {
    const uint32_t high = engine();
    if (!math::needs_low_word(high)) {
      ASSERT_LT(change_without_low_word(high), 0x1p-25) << high;
    }
  }
  for (uint32_t inner : {kEdge, ~kEdge}) EXPECT_LE(change_without_low_word(inner), 0x1p-25);
  // One bit further out it would be seen in single precision.
  for (uint32_t outer : {kEdge / 2 - 1, ~(kEdge / 2 - 1)})
    EXPECT_GT(change_without_low_word(outer), 0x1p-25);
}

using Transform = double (*)(uint64_t);

/// One draw per cell, 250,000 rows of 4 columns.
std::vector<double> draws(Transform transform) {
  std::vector<double> values;
  for (uint64_t row = 0; row < 250000; ++row)
    for (uint64_t column = 0; column < 4; ++column)
      values.push_back(transform(cell(2024, 11, row, column)));
  return values;
}

TEST(Law, UniformIsUniform) {
  const auto cdf = [](double u) { return u; };
  EXPECT_GE(support::kolmogorov_p(draws(&reference::uniform_of), cdf), support::kSmallestP);
}

TEST(Law, GumbelIsGumbel) {
  const auto cdf = [](double x) { return std::exp(-std::exp(-x)); };
  EXPECT_GE(support::kolmogorov_p(draws(&reference::gumbel_of), cdf), support::kSmallestP);
}

TEST(Law, LogisticIsLogistic) {
  const auto cdf = [](double x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_GE(support::kolmogorov_p(draws(&reference::logistic_of), cdf), support::kSmallestP);
}

TEST(Law, TheTestSeesADistributionThatIsSlightlyOff) {
  const auto shifted = [](double u) { return u + 0.004 * u * (1 - u) * 4; };
  EXPECT_LT(support::kolmogorov_p(draws(&reference::uniform_of), shifted), support::kSmallestP);
}

TEST(Statistics, KnownPValues) {
  EXPECT_NEAR(support::upper_gamma(0.5, 0.5 * 3.841458820694124), 0.05, 1e-12);
  EXPECT_NEAR(support::upper_gamma(5, 0.5 * 18.307038053275146), 0.05, 1e-12);
  EXPECT_NEAR(support::upper_gamma(1, 30), std::exp(-30.0), 1e-25);
  EXPECT_NEAR(support::poisson_cdf(2, 1.5), std::exp(-1.5) * (1 + 1.5 + 1.125), 1e-14);
}

}  // namespace
