#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gradthru/categorical.h"
#include "support/draws.h"
#include "support/estimators.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/statistics.h"

// The law of the drawn index, out to the tails.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using gradthru::sample;
using gradthru::to_string;
using support::Row;

constexpr Key kKey{.seed = 20240, .offset = 17};
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double law_p(const at::Tensor& logits, const Estimator& e, int64_t trials) {
  const std::vector<int64_t> counts =
      support::count_indices(support::draw_indices(logits, e, kKey, trials), logits.numel());
  return support::chi_square_p(
      counts, reference::softmax(support::row_of(logits), support::sampling_tau(e)));
}

TEST(Law, ChiSquareAgainstTheSampledDistribution) {
  support::Random random(1);
  for (const Estimator& e : support::drawing_estimators())
    for (int64_t categories : {2, 10, 100, 2000})
      for (at::ScalarType dtype : {at::kDouble, at::kFloat}) {
        const at::Tensor logits = random.normal({categories}, 1, dtype);
        EXPECT_GE(law_p(logits, e, 2000000 / (100 + categories)), support::kSmallestP)
            << to_string(e) << " K=" << categories;
      }
}

TEST(Law, TheTestSeesAWrongTemperature) {
  support::Random random(2);
  const at::Tensor logits = random.normal({10}, 1);
  const Estimator e = gradthru::st({.tau_f = 1.25});
  const auto indices = support::draw_indices(logits, e, kKey, 20000);
  EXPECT_LT(support::chi_square_p(support::count_indices(indices, 10),
                                  reference::softmax(support::row_of(logits))),
            support::kSmallestP);
}

/// p-value of draws among very many categories: neighbours share a cell until it expects 5.
double merged_law_p(const std::vector<int64_t>& indices, const Row& probs) {
  const std::vector<int64_t> counts =
      support::count_indices(indices, static_cast<int64_t>(probs.size()));
  std::vector<int64_t> cells(1, 0);
  Row shares(1, 0.0);
  for (size_t k = 0; k < probs.size(); ++k) {
    if (shares.back() * static_cast<double>(indices.size()) >= 5) {
      cells.push_back(0);
      shares.push_back(0);
    }
    cells.back() += counts[k];
    shares.back() += probs[k];
  }
  EXPECT_GT(cells.size(), 100u);
  return support::chi_square_p(cells, shares);
}

TEST(Law, TwoHundredThousandCategories) {
  support::Random random(3);
  const at::Tensor logits = random.normal({200000}, 1.5, at::kFloat);
  const Row probs = reference::softmax(support::row_of(logits));
  for (const Estimator& e : {gradthru::st(), gradthru::gumbel_softmax()})
    EXPECT_GE(merged_law_p(support::draw_indices(logits, e, kKey, 2000), probs),
              support::kSmallestP)
        << to_string(e);
}

TEST(Law, CategoriesBeyondTheIntegersOfFloat) {
  // Nine tenths of the mass lies on the last 1000 of 2^24 + 2001 columns, of which float32 tells
  // only every other one apart.
  constexpr int64_t kFirst = (int64_t{1} << 24) + 1001, kLast = 1000;
  at::Tensor logits = at::full({kFirst + kLast}, -40, at::kFloat);
  logits.slice(0, 0, kFirst).fill_(std::log(0.1 / kFirst));
  logits.slice(0, kFirst).fill_(std::log(0.9 / kLast));
  for (const Estimator& e : {gradthru::st(), gradthru::gumbel_softmax()}) {
    int64_t even = 0, odd = 0;
    for (int64_t index : support::draw_indices(logits, e, kKey, 8)) {
      ASSERT_LT(index, kFirst + kLast);
      if (index >= kFirst) ++(index % 2 == 0 ? even : odd);
    }
    EXPECT_GE(even + odd, 4) << to_string(e);
    EXPECT_GT(even, 0) << to_string(e);
    EXPECT_GT(odd, 0) << to_string(e);
  }
}

TEST(Zero, ImpossibleCategoriesAreNeverDrawn) {
  for (double impossible : {-kInfinity, -1e4})
    for (at::ScalarType dtype : {at::kDouble, at::kFloat})
      for (const Estimator& e : support::drawing_estimators()) {
        const Row row = {impossible, 0.3, impossible, impossible, -0.2, impossible};
        const auto indices =
            support::draw_indices(support::tensor_of(row).to(dtype), e, kKey, 20000);
        const std::vector<int64_t> counts = support::count_indices(indices, 6);
        EXPECT_EQ(counts[1] + counts[4], 20000) << to_string(e) << impossible;
        EXPECT_GT(counts[1], 0);
        EXPECT_GT(counts[4], 0);
      }
}

TEST(Zero, NotEvenAtTheEndsOfTheUniform) {
  // The rows with the smallest and the largest u of a million: where a running sum that reaches the
  // total late, or a comparison that is not strict, picks a category without weight.
  const auto u = [](uint64_t row) {
    return reference::uniform_of(reference::cell(kKey.seed, kKey.offset, row, 0));
  };
  std::pair<double, uint64_t> smallest{1, 0}, largest{0, 0};
  for (uint64_t row = 0; row < 1000000; ++row) {
    smallest = std::min(smallest, {u(row), row});
    largest = std::max(largest, {u(row), row});
  }
  Row row(64, -kInfinity);
  for (size_t k = 20; k < 40; ++k) row[k] = 0.1 * static_cast<double>(k);
  for (at::ScalarType dtype : {at::kDouble, at::kFloat})
    for (const auto& [extreme, expected] :
         {std::pair{smallest, int64_t{20}}, std::pair{largest, int64_t{39}}}) {
      const Key key{kKey.seed, kKey.offset, static_cast<int64_t>(extreme.second)};
      const at::Tensor logits = support::tensor_of(row).to(dtype).unsqueeze(0);
      EXPECT_EQ(sample(logits, gradthru::st(), {.key = key}).index.item<int64_t>(), expected);
    }
}

constexpr int64_t kTailCategories = 262144;
constexpr double kTailProbability = 3.276127e-4;

/// 0 or 1: whether the trial with this row number draws from the tail.
int64_t tail_hit(const at::Tensor& logits, const Estimator& e, int64_t head, uint64_t row) {
  const Key key{kKey.seed, kKey.offset, static_cast<int64_t>(row)};
  return sample(logits, e, {.key = key}).index.item<int64_t>() != head;
}

at::Tensor tail_logits(int64_t head, double tail_logit) {
  at::Tensor logits = at::full({1, kTailCategories + 1}, tail_logit, at::kFloat);
  logits.select(1, head).fill_(0);
  return logits;
}

/// The tail test of the specification for the inverse CDF, one million trials: the noise of a trial
/// depends on its row number alone, so the uniforms of all trials are counted on the reference, and
/// the library runs the trials that hit and as many that do not. A running sum in float32 loses the
/// tail behind the head; a threshold rounded to float32 moves the count.
void expect_tail(int64_t head, bool tail_is_above) {
  const at::Tensor logits = tail_logits(head, -20.5);
  std::vector<uint64_t> hits, misses;
  for (uint64_t row = 0; row < 1000000; ++row) {
    const double u = reference::uniform_of(reference::cell(kKey.seed, kKey.offset, row, 0));
    const bool hit = tail_is_above ? u > 1 - kTailProbability : u < kTailProbability;
    if (hit)
      hits.push_back(row);
    else if (misses.size() < hits.size())
      misses.push_back(row);
  }
  EXPECT_GE(hits.size(), 243u);
  EXPECT_LE(hits.size(), 420u);
  int64_t drawn = 0, wrong = 0;
  for (uint64_t row : hits) drawn += tail_hit(logits, gradthru::st(), head, row);
  for (uint64_t row : misses) wrong += tail_hit(logits, gradthru::st(), head, row);
  EXPECT_EQ(drawn, static_cast<int64_t>(hits.size()));
  EXPECT_EQ(wrong, 0);
}

TEST(Tail, InverseCdfBehindTheHead) {
  expect_tail(0, true);
}
TEST(Tail, InverseCdfBeforeTheHead) {
  expect_tail(kTailCategories, false);
}

/// A cell at the edge of the range, with its high word.
struct DeepCell {
  uint32_t high;
  uint64_t row;
  size_t column;
};

/// The deepest cells of both tails among 2^27, found on the high words.
std::vector<DeepCell> deepest_cells(size_t each) {
  std::vector<DeepCell> low, high;
  for (uint64_t row = 0; row < (uint64_t{1} << 25); ++row) {
    const reference::Block words = reference::words(kKey.seed, kKey.offset, row, 0, 0);
    for (size_t column = 0; column < 4; ++column) {
      if (words[column] < (1u << 10)) low.push_back({words[column], row, column});
      if (words[column] >= ~0u - (1u << 10)) high.push_back({words[column], row, column});
    }
  }
  const auto shallower = [](const DeepCell& a, const DeepCell& b) { return a.high < b.high; };
  std::sort(low.begin(), low.end(), shallower);
  std::sort(high.rbegin(), high.rend(), shallower);
  low.resize(std::min(low.size(), each));
  high.resize(std::min(high.size(), each));
  low.insert(low.end(), high.begin(), high.end());
  return low;
}

/// The Gumbel route of the tail test. A million trials would take 2.6e11 Gumbels, and fewer than
/// 44,000 (1.2e10) cannot tell a lost tail (no hit) from bad luck (exp(-14.4) = 5e-7). Instead the
/// deepest of 1.3e8 cells must win or lose against another category by a hair: a Gumbel from 24
/// bits, or one without its low word in the outer cells, is off by more.
void expect_deep_cells(at::ScalarType dtype, double margin) {
  const std::vector<DeepCell> cells = deepest_cells(12);
  EXPECT_EQ(cells.size(), 24u);
  for (const DeepCell& deep : cells) {
    const size_t other = (deep.column + 1) % 4;
    const auto gumbel = [&](size_t column) {
      return reference::gumbel_of(reference::cell(kKey.seed, kKey.offset, deep.row, column));
    };
    for (double lead : {-margin, margin}) {
      Row row(4, -100);
      row[deep.column] = 0;
      row[other] = gumbel(deep.column) - gumbel(other) + lead;
      const Key key{kKey.seed, kKey.offset, static_cast<int64_t>(deep.row)};
      const at::Tensor logits = support::tensor_of(row).to(dtype).unsqueeze(0);
      EXPECT_EQ(sample(logits, gradthru::gumbel_softmax(), {.key = key}).index.item<int64_t>(),
                static_cast<int64_t>(lead > 0 ? other : deep.column))
          << "high word " << deep.high << " lead " << lead;
    }
  }
}

TEST(Tail, DeepGumbelsInFloat) {
  expect_deep_cells(at::kFloat, 2e-5);
}
TEST(Tail, DeepGumbelsInDouble) {
  expect_deep_cells(at::kDouble, 1e-11);
}

TEST(Tail, GumbelOverManyUnlikelyCategories) {
  // 262,144 categories at -14 share r/(1+r), r = 262144 exp(-14) = .218; 300 trials.
  const double ratio = static_cast<double>(kTailCategories) * std::exp(-14.0);
  const at::Tensor logits = tail_logits(7, -14);
  for (const Estimator& e : {gradthru::gumbel_softmax(), gradthru::st()}) {
    int64_t hits = 0;
    for (uint64_t row = 0; row < 300; ++row) hits += tail_hit(logits, e, 7, row);
    EXPECT_LE(std::abs(support::binomial_z(hits, 300, ratio / (1 + ratio))), support::kLargestZ)
        << to_string(e) << " " << hits;
  }
}

}  // namespace
