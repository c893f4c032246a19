#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "reference/philox.h"
#include "support/deep_cells.h"
#include "support/vector_functions.h"

// The bounds that src/cpu/simd/functions.h states, under every instruction set of this machine. By
// default some floats of every size are tried, with GRADTHRU_EXHAUSTIVE=1 all of them.
namespace {

using vector_functions::Functions;

constexpr int64_t kChunk = 1 << 14;

bool exhaustive() {
  const char* text = std::getenv("GRADTHRU_EXHAUSTIVE");
  return text != nullptr && std::string(text) == "1";
}

float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// The error of y in units of the last place of the exact value.
double ulps(float y, double exact) {
  const double size = std::max(std::abs(exact), 0x1p-126);
  return std::abs(y - exact) / std::ldexp(1, std::ilogb(size) - 23);
}

struct Worst {
  double ulps = 0;
  float at = 0;
  int64_t count = 0;
};

/// Over the floats from `from` to `to`, of one sign, every `stride`-th unless all are asked for.
Worst worst_of(void (*function)(const float*, float*, int64_t), double (*exact)(double), float from,
               float to, uint32_t stride) {
  const uint64_t first = std::min(bits_of(from), bits_of(to));
  const uint64_t last = std::max(bits_of(from), bits_of(to));
  const uint64_t step = exhaustive() ? 1 : stride;
  std::vector<float> x(kChunk), y(kChunk);
  Worst worst;
  for (uint64_t start = first; start <= last; start += step * kChunk) {
    for (uint64_t i = 0; i < kChunk; ++i)
      x[i] = float_of(static_cast<uint32_t>(std::min(start + i * step, last)));
    function(x.data(), y.data(), kChunk);
    for (size_t i = 0; i < kChunk; ++i) {
      const double error = ulps(y[i], exact(x[i]));
      if (!(error <= worst.ulps)) worst = {error, x[i], worst.count};
    }
    worst.count += kChunk;
  }
  return worst;
}

class EveryFloat : public testing::TestWithParam<const Functions*> {
 protected:
  void SetUp() override {
    const std::string name = functions().name;
#if defined(__x86_64__)
    const bool has = name == "baseline" ||
                     (name == "avx2" && __builtin_cpu_supports("avx2") &&
                      __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) ||
                     (name == "avx512" && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl"));
    if (!has) GTEST_SKIP() << "this machine has no " << name;
#endif
  }
  const Functions& functions() const { return *GetParam(); }
  /// The set without fused multiplication takes long.
  uint32_t slow() const { return std::string(functions().name) == "baseline" ? 8 : 1; }

  void expect_within(const Worst& worst, double bound, const std::string& what) {
    EXPECT_LE(worst.ulps, bound) << what << " at " << worst.at;
    EXPECT_GE(worst.count, kChunk);
    RecordProperty(what, std::to_string(worst.ulps));
    std::printf("  %s %s: %.3f ulp at %.9g of %lld\n", functions().name, what.c_str(), worst.ulps,
                static_cast<double>(worst.at), static_cast<long long>(worst.count));
  }

  std::vector<float> values(void (*function)(const float*, float*, int64_t),
                            std::vector<float> x) const {
    std::vector<float> y(16);
    x.resize(16, 1);
    function(x.data(), y.data(), 16);
    return y;
  }
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

double exp_of(double x) {
  return std::exp(x);
}
double log_of(double x) {
  return std::log(x);
}
double log1p_of(double x) {
  return std::log1p(x);
}

constexpr double kExpBound = 1.01;

TEST_P(EveryFloat, Exp) {
  const auto worst = [&](float from, float to, uint32_t stride) {
    return worst_of(functions().exp, &exp_of, from, to, stride * slow());
  };
  expect_within(worst(0, 0x1p-30f, 20011), 1, "exp near 0 from above");
  expect_within(worst(-0.0f, -0x1p-30f, 20011), 1, "exp near 0 from below");
  expect_within(worst(0x1p-30f, 88, 13), kExpBound, "exp above 0");
  expect_within(worst(-0x1p-30f, -86.6f, 13), kExpBound, "exp below 0");
  const Worst zero = worst_of(
      functions().exp, [](double) { return 0.0; }, std::nextafter(-86.6f, -kInfinity), -kInfinity,
      20011);
  EXPECT_EQ(zero.ulps, 0) << zero.at;
  const std::vector<float> edges = values(functions().exp, {kNan, -kInfinity, 0, -0.0f});
  EXPECT_TRUE(std::isnan(edges[0]));
  EXPECT_EQ(std::vector<float>(edges.begin() + 1, edges.begin() + 4),
            (std::vector<float>{0, 1, 1}));
}

constexpr double kLogBound = 1.6;

TEST_P(EveryFloat, Log) {
  const auto worst = [&](float from, float to, uint32_t stride) {
    return worst_of(functions().log, &log_of, from, to, stride * slow());
  };
  expect_within(worst(0x1p-149f, 0x1p-126f, 37), kLogBound, "log of subnormal numbers");
  expect_within(worst(0x1p-126f, 0.5f, 101), kLogBound, "log below 1/2");
  expect_within(worst(0x1p-12f, 0.5f, 3), kLogBound, "log somewhat below 1/2");
  expect_within(worst(2, 0x1p12f, 3), kLogBound, "log somewhat above 2");
  expect_within(worst(0.5f, 2, 3), kLogBound, "log around 1");
  expect_within(worst(2, std::numeric_limits<float>::max(), 101), kLogBound, "log above 2");
  const std::vector<float> edges =
      values(functions().log, {kNan, -1, -kInfinity, 0, -0.0f, kInfinity, 1});
  for (size_t i : {0, 1, 2}) EXPECT_TRUE(std::isnan(edges[i])) << i;
  EXPECT_EQ(std::vector<float>(edges.begin() + 3, edges.begin() + 7),
            (std::vector<float>{-kInfinity, -kInfinity, kInfinity, 0}));
}

TEST_P(EveryFloat, Log1p) {
  const auto worst = [&](float from, float to, uint32_t stride) {
    return worst_of(functions().log1p, &log1p_of, from, to, stride * slow());
  };
  expect_within(worst(0, 0x1p-30f, 20011), 2, "log1p near 0 from above");
  expect_within(worst(-0.0f, -0x1p-30f, 20011), 2, "log1p near 0 from below");
  expect_within(worst(0x1p-30f, 2, 13), 2, "log1p up to 2");
  expect_within(worst(2, std::numeric_limits<float>::max(), 101), 2, "log1p above 2");
  expect_within(worst(-0x1p-30f, std::nextafter(-1.0f, 0.0f), 13), 2, "log1p below 0");
}

/// log v of high words from 2^24 on, whose low words are not asked for, and of the others.
TEST_P(EveryFloat, LogOfCells) {
  std::vector<uint32_t> words(kChunk);
  std::vector<float> y(kChunk);
  Worst worst;
  const uint64_t step = exhaustive() ? 1 : 53 * slow();
  for (uint64_t start = 0; start >> 32 == 0; start += step * kChunk) {
    for (uint64_t i = 0; i < kChunk; ++i)
      words[i] = static_cast<uint32_t>(std::min<uint64_t>(start + i * step, 0xffffffffu));
    functions().log_of_high_words(words.data(), y.data(), kChunk);
    for (size_t i = 0; i < kChunk; ++i) {
      const double exact = reference::log_v_of(uint64_t{words[i]} << 32 | 0x80000000u);
      const double error = ulps(y[i], exact);
      if (!(error <= worst.ulps)) worst = {error, static_cast<float>(words[i]), worst.count};
    }
    worst.count += kChunk;
  }
  expect_within(worst, 3, "log of cells");
}

/// -log(1 - v) of the tiles' cells against the exact one: ordinary cells, and the deepest of 2^35.
TEST_P(EveryFloat, Exponentials) {
  double worst = 0;
  float y[16];
  const gradthru::Key key = support::kDeepKey;
  const auto look = [&](uint64_t row, uint64_t column, float value) {
    const double exact =
        reference::exponential_of(reference::cell(key.seed, key.offset, row, column));
    // Words of 32 bits stand for 64 where that changes v and 1 - v by less than 2^-25.
    const double error = std::abs(value - exact) / (exact + 0.3) * 0x1p24;
    const double relative = std::abs(value - exact) / exact * 0x1p24;
    worst = std::max(worst, relative);
    EXPECT_LE(error, 4) << "row " << row << " column " << column << ": " << value << " for "
                        << exact;
    EXPECT_LE(relative, 8) << "row " << row << " column " << column << ": " << value << " for "
                           << exact;
  };
  const auto both = [&](uint64_t row, uint64_t column) {
    functions().exponentials_of_rows(key.seed, key.offset, {row, column}, y);
    for (uint64_t i = 0; i < 16; ++i) look(row + i, column, y[i]);
    const uint64_t first = column / 16 * 16;
    functions().exponentials_of_columns(key.seed, key.offset, {row, first}, y);
    for (uint64_t i = 0; i < 16; ++i) look(row, first + i, y[i]);
  };
  for (uint64_t block = 0; block < 30000 && !HasFailure(); ++block)
    both(block * 16 + (block << 31), block % 64);
  for (const auto* cells : {&support::kLowCells, &support::kHighCells})
    for (const support::DeepCell& cell : *cells)
      for (uint64_t lane : {0, 1, 7, 15}) both(cell.row - lane, cell.column);
  std::printf("  %s exponentials: %.3f of 2^-24\n", functions().name, worst);
}

const std::vector<const Functions*> kSets = {
#define GRADTHRU_TEST_SET(set) &vector_functions::set##_functions,
    GRADTHRU_TEST_SETS
#undef GRADTHRU_TEST_SET
};

INSTANTIATE_TEST_SUITE_P(InstructionSet, EveryFloat, testing::ValuesIn(kSets),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
