#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "support/digest.h"
#include "support/layouts.h"
#include "support/threads.h"
#include "support/tolerance.h"

// The same bits for any number of threads, layout, split of the batch and instruction set.
namespace {

using gradthru::Estimator;
using support::BitCase;
using support::Outcome;

/// Every method, with rows of every path: in lanes, along the vector, and with shared columns.
std::vector<BitCase> cases_of(const Estimator& e, at::ScalarType dtype) {
  std::vector<BitCase> cases;
  for (const auto& [rows, K] : {std::pair<int64_t, int64_t>{4001, 10},
                                {1501, 64},
                                {130, 1000},
                                {1, 70001},
                                {2, 131072 + 17}}) {
    if (K > support::most_categories(e)) continue;
    if (dtype == at::kDouble && K > 1000) continue;  // no columns are shared in double
    if (e.method == gradthru::Method::mve && rows * K * K * K > 20000000) continue;
    cases.push_back(support::bit_case(e, rows, K, dtype));
  }
  return cases;
}

class Bits : public testing::TestWithParam<std::tuple<gradthru::Method, at::ScalarType>> {
 protected:
  Estimator estimator() const { return support::plain_estimator(std::get<0>(GetParam())); }
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }
};

TEST_P(Bits, DoNotDependOnThreads) {
  for (const BitCase& c : cases_of(estimator(), dtype())) {
    std::string one;
    for (const int count : {1, 2, 3, 7}) {
      const support::Threads threads(count);
      ASSERT_EQ(at::get_num_threads(), count);
      const std::string digest = support::digest_of(c);
      if (count == 1) one = digest;
      EXPECT_EQ(digest, one) << c.what << " with " << count << " threads";
    }
  }
}

std::string digest_with_rows_last(const Outcome& run) {
  return support::digest_of(Outcome{{run.drawn.onehot.t(), run.drawn.index}, run.grad.t()});
}

TEST_P(Bits, DoNotDependOnTheLayout) {
  for (const int64_t K : {3, 10, 64, 65, 1000}) {
    if (K > support::most_categories(estimator())) continue;
    const BitCase c = support::bit_case(estimator(), 67, K, dtype());
    const std::string plain = support::digest_of(c);
    for (const support::Layout layout : support::kLayouts) {
      if (layout == support::Layout::expanded) continue;  // has other values
      const auto arranged = [&](const at::Tensor& t) { return support::arranged(t, layout, 0); };
      for (const bool both : {false, true}) {
        BitCase other = c;
        other.logits = arranged(c.logits);
        if (both) other.g = arranged(c.g);
        EXPECT_EQ(support::digest_of(other), plain) << c.what << " " << name_of(layout);
        gradthru::SampleOptions across = c.options;
        across.dim = 0;
        const at::Tensor columns = support::arranged(c.logits.t().contiguous(), layout, 0);
        EXPECT_EQ(digest_with_rows_last(support::run(columns, c.e, across, other.g.t())), plain)
            << c.what << " dim 0 " << name_of(layout);
      }
    }
  }
}

TEST_P(Bits, DoNotDependOnTheSplitOfTheBatch) {
  for (const auto& [rows, K] : {std::pair<int64_t, int64_t>{67, 10}, {67, 64}, {9, 1000}}) {
    if (K > support::most_categories(estimator())) continue;
    const BitCase whole = support::bit_case(estimator(), rows, K, dtype());
    const std::string expected = support::digest_of(whole);
    for (const int64_t size : {1, 5, 16, 33}) {
      std::vector<at::Tensor> index, onehot, grad;
      for (int64_t start = 0; start < rows; start += size) {
        const int64_t end = std::min(rows, start + size);
        gradthru::SampleOptions options = whole.options;
        options.key->row0 += start;
        const Outcome piece = support::run(whole.logits.slice(0, start, end), whole.e, options,
                                           whole.g.slice(0, start, end));
        index.push_back(piece.drawn.index);
        onehot.push_back(piece.drawn.onehot.detach());
        grad.push_back(piece.grad);
      }
      const Outcome all{{at::cat(onehot), at::cat(index)}, at::cat(grad)};
      EXPECT_EQ(support::digest_of(all), expected) << whole.what << " in pieces of " << size;
    }
  }
}

TEST_P(Bits, OfBinaryElements) {
  support::Random random(5);
  constexpr int64_t kCount = 70003;
  const at::Tensor logits = random.normal({kCount}, 2, dtype());
  const at::Tensor g = random.normal({kCount}, 1, dtype());
  gradthru::BinaryOptions options{.key = support::kBitKey};
  const auto digest = [&](const at::Tensor& a, const at::Tensor& arriving) {
    return support::digest_of(support::run_binary(a, estimator(), options, arriving));
  };
  const std::string plain = digest(logits, g);
  for (const int count : {1, 3, 7}) {
    const support::Threads threads(count);
    EXPECT_EQ(digest(logits, g), plain) << count << " threads";
  }
  for (const support::Layout layout : {support::Layout::sliced, support::Layout::misaligned})
    EXPECT_EQ(digest(support::arranged(logits, layout, 0), support::arranged(g, layout, 0)), plain)
        << name_of(layout);
  std::vector<at::Tensor> values, grads;
  for (int64_t start = 0; start < kCount; start += 9001) {
    const int64_t end = std::min(kCount, start + 9001);
    options.key->row0 = support::kBitKey.row0 + start;
    const support::BinaryOutcome piece = support::run_binary(
        logits.slice(0, start, end), estimator(), options, g.slice(0, start, end));
    values.push_back(piece.value.detach());
    grads.push_back(piece.grad);
  }
  EXPECT_EQ(support::digest_of(support::BinaryOutcome{at::cat(values), at::cat(grads)}), plain);
}

INSTANTIATE_TEST_SUITE_P(
    Every, Bits,
    testing::Combine(testing::ValuesIn(gradthru::methods(gradthru::Family::pathwise)),
                     testing::Values(at::kDouble, at::kFloat, at::kHalf, at::kBFloat16)),
    [](const auto& tested) {
      return std::string(gradthru::name(std::get<0>(tested.param))) + "_" +
             c10::toString(std::get<1>(tested.param));
    });

struct Printed {
  int status;
  std::string text;
};

/// What bits_digest prints under an instruction set.
Printed printed_under(const std::string& set) {
  const std::string command = "GRADTHRU_CPU=" + set + " '" + GRADTHRU_BITS_DIGEST + "' 2>/dev/null";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  Printed printed{};
  std::array<char, 4096> chunk;
  while (const size_t count = std::fread(chunk.data(), 1, chunk.size(), pipe))
    printed.text.append(chunk.data(), count);
  printed.status = pclose(pipe);
  return printed;
}

const Printed& baseline() {
  static const Printed printed = printed_under("baseline");
  return printed;
}

class InstructionSet : public testing::TestWithParam<std::string> {};

TEST_P(InstructionSet, GivesTheBitsOfTheBaseline) {
  ASSERT_EQ(baseline().status, 0) << baseline().text;
  const Printed printed = printed_under(GetParam());
  if (printed.text.starts_with("GRADTHRU_CPU must be one of"))
    GTEST_SKIP() << "this machine has no " << GetParam();
  ASSERT_EQ(printed.status, 0) << printed.text;
  std::istringstream ours(printed.text), theirs(baseline().text);
  std::string line, expected;
  int64_t lines = 0;
  for (; std::getline(theirs, expected); ++lines) {
    std::getline(ours, line);
    EXPECT_EQ(line, expected);
  }
  EXPECT_GT(lines, 1000);
  EXPECT_FALSE(std::getline(ours, line)) << line;
}

INSTANTIATE_TEST_SUITE_P(X86, InstructionSet, testing::Values("avx2", "avx512"),
                         [](const auto& tested) { return tested.param; });

}  // namespace
