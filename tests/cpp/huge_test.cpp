#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/tolerance.h"

// Tensors of more than 2^31 elements. Minutes and gigabytes: `ctest -C slow`.
namespace {

using gradthru::Key;

constexpr Key kKey{.seed = 31, .offset = 8, .row0 = 12};
constexpr double kGiB = 1073741824.0;

/// Gigabytes that a program may take now.
double available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word)
    if (word == "MemAvailable:") {
      double kibibytes = 0;
      file >> kibibytes;
      return kibibytes * 1024 / kGiB;
    }
  return 0;
}

#define GRADTHRU_NEEDS_MEMORY(gigabytes)                                              \
  if (available_memory() < (gigabytes))                                               \
  GTEST_SKIP() << "needs " << (gigabytes) << " GiB of memory, " << available_memory() \
               << " are available"

/// The rows from `start` on, called by themselves, are those of the whole.
void expect_piece(const support::Outcome& whole, const at::Tensor& logits, const at::Tensor& g,
                  int64_t start, int64_t count) {
  Key key = kKey;
  key.row0 += start;
  const auto piece = [&](const at::Tensor& t) { return t.slice(0, start, start + count); };
  const support::Outcome alone =
      support::run(piece(logits), gradthru::zgr(), {.key = key}, piece(g));
  EXPECT_TRUE(at::equal(alone.drawn.index, piece(whole.drawn.index))) << start;
  EXPECT_TRUE(at::equal(alone.drawn.onehot, piece(whole.drawn.onehot))) << start;
  EXPECT_TRUE(at::equal(alone.grad, piece(whole.grad))) << start;
}

/// As many rows of K categories as exceed 2^31 elements, all with the same logits in memory.
void expect_many_rows(int64_t K) {
  GRADTHRU_NEEDS_MEMORY(16);
  const int64_t rows = (int64_t{1} << 31) / K + 1000;
  support::Random random(1);
  const at::Tensor logits = random.normal({1, K}, 1.5, at::kHalf).expand({rows, K});
  const at::Tensor g = random.normal({1, K}, 1, at::kHalf).expand({rows, K});
  ASSERT_GT(logits.numel(), int64_t{1} << 31);
  const support::Outcome whole = support::run(logits, gradthru::zgr(), {.key = kKey}, g);
  const int64_t beyond = (int64_t{1} << 31) / K;  // the row with element 2^31
  for (const int64_t start : {int64_t{0}, beyond / 2 - 50, beyond - 50, rows - 100})
    expect_piece(whole, logits, g, start, 100);
  EXPECT_EQ(whole.drawn.onehot.count_nonzero().item<int64_t>(), rows);
}

TEST(Huge, RowsInLanes) {
  expect_many_rows(64);
}

TEST(Huge, RowsAlongTheVector) {
  expect_many_rows(1000);
}

TEST(Huge, Samples) {
  GRADTHRU_NEEDS_MEMORY(12);
  constexpr int64_t kRows = 1000, kCategories = 70;
  constexpr int64_t kSamples = (int64_t{1} << 31) / (kRows * kCategories) + 10;
  support::Random random(2);
  const at::Tensor logits = random.normal({kRows, kCategories}, 1.5, at::kHalf);
  const gradthru::Sample all =
      gradthru::sample(logits, gradthru::st(), {.samples = kSamples, .key = kKey});
  ASSERT_GT(all.onehot.numel(), int64_t{1} << 31);
  for (const int64_t s : {int64_t{0}, kSamples / 2, kSamples - 11, kSamples - 1}) {
    Key key = kKey;
    key.offset += static_cast<uint64_t>(s);
    const gradthru::Sample one = gradthru::sample(logits, gradthru::st(), {.key = key});
    EXPECT_TRUE(at::equal(all.index[s], one.index)) << s;
    EXPECT_TRUE(at::equal(all.onehot[s], one.onehot)) << s;
  }
  EXPECT_EQ(all.onehot.count_nonzero().item<int64_t>(), kSamples * kRows);
}

TEST(Huge, BinaryElements) {
  GRADTHRU_NEEDS_MEMORY(16);
  constexpr int64_t kCount = (int64_t{1} << 31) + 5000;
  const at::Tensor logits = at::full({1}, 0.5, at::kHalf).expand({kCount});
  const at::Tensor g = at::ones({1}, at::kHalf).expand({kCount});
  const support::BinaryOutcome all = support::run_binary(logits, gradthru::zgr(), {.key = kKey}, g);
  for (const int64_t start : {int64_t{0}, (int64_t{1} << 31) - 50, kCount - 100}) {
    Key key = kKey;
    key.row0 += start;
    const support::BinaryOutcome piece = support::run_binary(
        logits.slice(0, 0, 100), gradthru::zgr(), {.key = key}, g.slice(0, 0, 100));
    EXPECT_TRUE(at::equal(piece.value, all.value.slice(0, start, start + 100))) << start;
    EXPECT_TRUE(at::equal(piece.grad, all.grad.slice(0, start, start + 100))) << start;
  }
}

}  // namespace
