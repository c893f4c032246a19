#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

#include "math/philox.h"
#include "reference/philox.h"

#if __has_include(<Random123/philox.h>)
#include <Random123/philox.h>
#define GRADTHRU_HAS_RANDOM123 1
#endif

// Philox and the layout of the cells, the reference's and the kernels', against Random123.
namespace {

using reference::Block;
using reference::cell;
using reference::philox;
namespace math = gradthru::math;

Block random123([[maybe_unused]] const Block& counter, [[maybe_unused]] uint32_t key0,
                [[maybe_unused]] uint32_t key1) {
#ifdef GRADTHRU_HAS_RANDOM123
  const philox4x32_ctr_t start = {{counter[0], counter[1], counter[2], counter[3]}};
  const philox4x32_key_t key = {{key0, key1}};
  const philox4x32_ctr_t theirs = philox4x32_R(10, start, key);
  return {theirs[0], theirs[1], theirs[2], theirs[3]};
#else
  throw std::logic_error("Random123 is not installed");
#endif
}

class EqualsRandom123 : public testing::Test {
 protected:
  void SetUp() override {
#ifndef GRADTHRU_HAS_RANDOM123
    GTEST_SKIP() << "Random123 is not installed (Debian: librandom123-dev)";
#endif
  }
};

Block block_of(const math::Words& words) {
  return {words.w[0], words.w[1], words.w[2], words.w[3]};
}

TEST_F(EqualsRandom123, Philox) {
  std::mt19937_64 engine(1);
  const auto word = [&] { return static_cast<uint32_t>(engine()); };
  for (int i = 0; i < 100000; ++i) {
    const Block counter = {word(), word(), word(), word()};
    const uint32_t key0 = word(), key1 = word();
    const Block theirs = random123(counter, key0, key1);
    ASSERT_EQ(philox(counter, key0, key1), theirs);
    const math::Words ours = {{counter[0], counter[1], counter[2], counter[3]}};
    ASSERT_EQ(block_of(math::philox(ours, (uint64_t{key1} << 32) | key0)), theirs);
  }
}

// What a cell is made of, and the ends of each part.
constexpr uint64_t kWord = uint64_t{1} << 32;
const std::vector<uint64_t> kSeeds = {0, 1, kWord - 1, kWord, ~uint64_t{0}};
const std::vector<uint64_t> kOffsets = {0, 1, kWord - 1, kWord, (uint64_t{1} << 47) - 1};
const std::vector<uint64_t> kRows = {0, 1, kWord - 1, kWord, (uint64_t{1} << 48) - 1};
const std::vector<uint64_t> kColumns = {
    0, 1, 2, 3, 4, kWord - 1, kWord, (uint64_t{1} << 34) - 4, (uint64_t{1} << 34) - 1};

/// The layout of the counter, written down from the specification once more.
uint64_t cell_by_random123(uint64_t seed, uint64_t offset, uint64_t row, uint64_t column) {
  uint64_t halves[2];
  for (uint64_t tag : {0, 1}) {
    const uint64_t top = (row >> 32) | ((offset >> 32) << 16) | (tag << 31);
    const Block words = random123({static_cast<uint32_t>(column / 4), static_cast<uint32_t>(row),
                                   static_cast<uint32_t>(offset), static_cast<uint32_t>(top)},
                                  static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    halves[tag] = words[column % 4];
  }
  return (halves[0] << 32) | halves[1];
}

void expect_cell(math::CellCache& cache, uint64_t seed, uint64_t offset, uint64_t row,
                 uint64_t column) {
  const uint64_t expected = cell_by_random123(seed, offset, row, column);
  ASSERT_EQ(cell(seed, offset, row, column), expected);
  ASSERT_EQ(math::cell_word(seed, offset, row, column), expected);
  ASSERT_EQ(cache.high(seed, offset, row, column), expected >> 32);
  ASSERT_EQ(cache.word(seed, offset, row, column), expected);
}

TEST_F(EqualsRandom123, CellsAtTheEndsOfEachPart) {
  math::CellCache cache;
  for (uint64_t seed : kSeeds)
    for (uint64_t offset : kOffsets)
      for (uint64_t row : kRows)
        for (uint64_t column : kColumns) expect_cell(cache, seed, offset, row, column);
}

TEST_F(EqualsRandom123, CellsAnywhere) {
  std::mt19937_64 engine(2);
  const auto bits = [&](int count) { return engine() >> (64 - count); };
  math::CellCache cache;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t seed = bits(64), offset = bits(47), row = bits(48), column = bits(34);
    expect_cell(cache, seed, offset, row, column);
    expect_cell(cache, seed, offset, row, column ^ bits(2));  // perhaps of the same call
  }
}

TEST(Cell, NoTwoCellsShareACounter) {
  std::set<Block> counters;
  size_t blocks = 0;
  for (uint64_t offset : kOffsets)
    for (uint64_t row : kRows)
      for (uint64_t column : {uint64_t{0}, uint64_t{4}, kWord, (uint64_t{1} << 34) - 4})
        for (bool low : {false, true}) {
          counters.insert(block_of(math::cell_counter(offset, row, column, low)));
          ++blocks;
        }
  EXPECT_EQ(counters.size(), blocks);
}

}  // namespace
