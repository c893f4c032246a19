#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "support/deep_cells.h"
#include "support/draws.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/statistics.h"
#include "support/tolerance.h"

// Both samplers, in lanes (up to 64 categories) and along the vector, where the random numbers are
// extreme: a category of probability 1e-9 is drawn exactly where its share lies, one without weight
// nowhere.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using support::DeepCell;
using support::Row;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const std::vector<int64_t> kSizes = {2, 3, 16, 64, 65, 100, 1000, 70001};

const std::vector<at::ScalarType> kDtypes = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16};

Key key_of(const DeepCell& cell) {
  Key key = support::kDeepKey;
  key.row0 = static_cast<int64_t>(cell.row);
  return key;
}

uint64_t word_of(const DeepCell& cell) {
  return reference::cell(support::kDeepKey.seed, support::kDeepKey.offset, cell.row, cell.column);
}

std::vector<DeepCell> index_cells(const std::vector<DeepCell>& cells) {
  return {cells.begin(), cells.begin() + support::kIndexCells};
}

int64_t drawn(const Row& logits, at::ScalarType dtype, const Estimator& e, const Key& key) {
  const at::Tensor row = support::tensor_of(logits).to(dtype).unsqueeze(0);
  return gradthru::sample(row, e, {.key = key}).index.item<int64_t>();
}

/// What separates a certain outcome from one that rounding the logit decides.
double margin(at::ScalarType dtype) {
  return dtype == at::kDouble  ? 1e-10
         : dtype == at::kFloat ? 2e-5
         : dtype == at::kHalf  ? 0.03
                               : 0.2;
}

TEST(Deep, CellsAreWhatTheyAreSaidToBe) {
  for (const DeepCell& cell : support::kLowCells) EXPECT_EQ(word_of(cell) >> 32, 0u);
  for (const DeepCell& cell : support::kHighCells) EXPECT_EQ(word_of(cell) >> 32, 0xffffffffu);
  for (const auto* cells : {&support::kLowCells, &support::kHighCells})
    for (const DeepCell& cell : index_cells(*cells)) EXPECT_EQ(cell.column, 0u);
}

/// K - 1 categories of equal weight and one at `place` whose share is `share`.
Row rare_row(int64_t K, int64_t place, double share) {
  Row row(static_cast<size_t>(K), 0.0);
  row[static_cast<size_t>(place)] =
      std::log(share) - std::log1p(-share) + std::log(static_cast<double>(K - 1));
  return row;
}

/// The rare category lies at the end of the uniform that the cell hits; its share is just above or
/// just below what the uniform needs.
void expect_threshold(int64_t K, int64_t place, double distance, const Key& key,
                      at::ScalarType dtype) {
  for (const double side : {-1.0, 1.0}) {
    // The running sum is in double: its last bits are lost beside a total of 1.
    const double share = distance * std::exp(side * margin(dtype)) + side * 3e-15;
    const int64_t index = drawn(rare_row(K, place, share), dtype, gradthru::st(), key);
    EXPECT_EQ(index == place, side > 0)
        << "K=" << K << " place " << place << " share " << share << " of " << distance << " row "
        << key.row0 << " " << c10::toString(dtype) << " gave " << index;
  }
}

TEST(InverseCdf, RareCategoriesAreDrawnWhereTheirShareIs) {
  for (const int64_t K : kSizes)
    for (const at::ScalarType dtype : kDtypes) {
      for (const DeepCell& cell : index_cells(support::kLowCells))
        expect_threshold(K, 0, reference::uniform_of(word_of(cell)), key_of(cell), dtype);
      for (const DeepCell& cell : index_cells(support::kHighCells))
        expect_threshold(K, K - 1, 1 - reference::uniform_of(word_of(cell)), key_of(cell), dtype);
    }
}

/// Of the cells whose uniform lies in the outer 1/128, where the low word must be looked at, and of
/// ordinary ones: the two neighbours of a boundary at distance 1e-7 from u. (In single precision a
/// boundary inside is known to 1e-7 only.)
TEST(InverseCdf, OrdinaryCellsFollowTheReference) {
  for (const int64_t K : {3, 64, 65, 1000})
    for (int64_t n = 0; n < 400; ++n) {
      const Key key{.seed = 3, .offset = 4, .row0 = n};
      const double u = reference::uniform_of(reference::cell(3, 4, static_cast<uint64_t>(n), 0));
      for (const double shift : {-1e-6, 1e-6}) {
        const double first = std::clamp(u + shift * u * (1 - u), 1e-300, 1.0);
        Row row(static_cast<size_t>(K), -kInfinity);
        row[1] = std::log(first / (1 - first));
        row[static_cast<size_t>(K - 1)] = 0;
        const int64_t expected = shift > 0 ? 1 : K - 1;
        EXPECT_EQ(drawn(row, at::kFloat, gradthru::st(), key), expected)
            << "K=" << K << " row " << n << " u " << u << " shift " << shift;
      }
    }
}

/// Impossible categories before, between and after the others.
TEST(InverseCdf, NothingWithoutWeightIsDrawnAtTheEnds) {
  for (const double impossible : {-kInfinity, -1e4, -200.0})
    for (const int64_t K : {16, 64, 65, 200, 1000, 70001})
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
        Row row(static_cast<size_t>(K), impossible);
        const size_t first = row.size() / 3, last = row.size() / 2;
        row[first] = row[last] = 0.5;
        row[first + 1] = 0.25;
        for (const DeepCell& cell : index_cells(support::kLowCells))
          EXPECT_EQ(drawn(row, dtype, gradthru::st(), key_of(cell)), static_cast<int64_t>(first));
        for (const DeepCell& cell : index_cells(support::kHighCells))
          EXPECT_EQ(drawn(row, dtype, gradthru::st(), key_of(cell)), static_cast<int64_t>(last));
      }
}

/// The Gumbels of a row.
Row gumbels(const DeepCell& cell, int64_t K) {
  Row all;
  for (int64_t k = 0; k < K; ++k)
    all.push_back(reference::gumbel_of(reference::cell(
        support::kDeepKey.seed, support::kDeepKey.offset, cell.row, static_cast<uint64_t>(k))));
  return all;
}

/// The category of the deep cell, as rare as exp(-20) or as frequent, wins or loses by a hair.
TEST(Race, DeepCellsWinExactlyWhereTheyShould) {
  const Estimator race = gradthru::gumbel_softmax();
  for (const int64_t K : {4, 16, 64, 65, 100, 1000})
    for (const auto* cells : {&support::kLowCells, &support::kHighCells})
      for (const DeepCell& cell : *cells) {
        Row gumbel = gumbels(cell, K);
        const double own = gumbel[cell.column];
        gumbel[cell.column] = -kInfinity;
        const double best = *std::max_element(gumbel.begin(), gumbel.end());
        for (const at::ScalarType dtype : kDtypes)
          for (const double side : {-1.0, 1.0}) {
            Row row(static_cast<size_t>(K), 0.0);
            row[cell.column] = best - own + side * margin(dtype);
            const int64_t index = drawn(row, dtype, race, key_of(cell));
            EXPECT_EQ(index == static_cast<int64_t>(cell.column), side > 0)
                << "K=" << K << " column " << cell.column << " row " << cell.row << " logit "
                << row[cell.column] << " " << c10::toString(dtype);
          }
      }
}

TEST(Race, NothingWithoutWeightIsDrawnInDeepCells) {
  for (const double impossible : {-kInfinity, -1e4, -200.0})
    for (const int64_t K : {4, 64, 65, 1000})
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat})
        for (const auto* cells : {&support::kLowCells, &support::kHighCells})
          for (const DeepCell& cell : *cells) {
            Row row(static_cast<size_t>(K), impossible);
            const size_t other = (cell.column + 1) % 4;
            row[other] = 0;
            EXPECT_EQ(drawn(row, dtype, gradthru::gumbel_softmax(), key_of(cell)),
                      static_cast<int64_t>(other));
          }
}

/// Backward rules with noise of their own, an inner draw of which stands on deep cells.
TEST(Race, GradientsOnDeepCellsAreThoseOfTheReference) {
  support::Random random(1);
  for (const Estimator& e :
       {gradthru::gumbel_softmax({.tau = 0.5}), gradthru::gumbel_rao({.tau = 0.5, .samples = 1}),
        gradthru::gumbel_rao({.tau_f = 2, .tau_b = 0.5, .samples = 2}),
        gradthru::reinmax_rao({.tau = 0.7, .samples = 2}),
        gradthru::reinmax_cv({.tau = 0.7, .samples = 2})})
    for (const int64_t K : {4, 10, 64, 65, 300})
      for (const auto* cells : {&support::kLowCells, &support::kHighCells})
        for (const DeepCell& cell : *cells)
          for (const uint64_t back : {0, 1, 2}) {
            Key key = key_of(cell);
            key.offset -= back;
            const at::Tensor logits = random.normal({1, K}, 1.5, at::kFloat);
            const at::Tensor g = random.normal({1, K}, 1, at::kFloat);
            const support::Outcome run = support::run(logits, e, {.key = key}, g);
            const Row expected =
                support::reference_grad(support::row_of(logits), run.drawn.index.item<int64_t>(),
                                        support::row_of(g), e, key, 0);
            support::expect_near(
                run.grad, support::tensor_of(expected).unsqueeze(0),
                support::gradient_tolerance(at::kFloat, support::max_abs(g), e, 1),
                to_string(e) + " K=" + std::to_string(K) + " row " + std::to_string(cell.row));
          }
}

/// Shares of 1e-4, 1e-5 and 1e-6 among very many draws.
TEST(Rate, OfRareCategories) {
  for (const Estimator& e : {gradthru::st(), gradthru::gumbel_softmax()})
    for (const int64_t K : {8, 70}) {
      Row row(static_cast<size_t>(K), 0.0);
      const std::vector<std::pair<size_t, double>> rare = {
          {0, std::log(1e-6 * static_cast<double>(K))},
          {3, std::log(1e-5 * static_cast<double>(K))},
          {row.size() - 1, std::log(1e-4 * static_cast<double>(K))}};
      for (const auto& [k, logit] : rare) row[k] = logit;
      const at::Tensor logits = support::tensor_of(row).to(at::kFloat);
      const Row probs = reference::softmax(support::row_of(logits));
      const int64_t trials = K == 8 ? 8000000 : 1000000;
      const std::vector<int64_t> counts = support::count_indices(
          support::draw_indices(logits, e, {.seed = 5, .offset = 6}, trials), K);
      for (const auto& [k, logit] : rare) {
        const double mean = probs[k] * static_cast<double>(trials);
        EXPECT_GE(support::poisson_cdf(counts[k], mean), support::kSmallestP) << to_string(e) << k;
        EXPECT_LE(counts[k] == 0 ? 0 : support::poisson_cdf(counts[k] - 1, mean),
                  1 - support::kSmallestP)
            << to_string(e) << k;
      }
      EXPECT_GE(support::chi_square_p(counts, probs), support::kSmallestP) << to_string(e) << K;
    }
}

}  // namespace
