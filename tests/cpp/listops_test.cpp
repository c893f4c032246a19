#include "data/listops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "experiments/listops/evaluation.h"
#include "experiments/listops/examples.h"
#include "experiments/listops/generator.h"
#include "experiments/listops/tree_text.h"
#include "support/data_files.h"
#include "train/sha256.h"

namespace gradthru::experiments::listops {
namespace {

using data::ListOpsExample;
using data::ListOpsTokens;
using support::message_of;
using ::testing::HasSubstr;

// --- expressions ---------------------------------------------------------------------------------

struct Known {
  std::string text;
  int value, depth;
  size_t tokens;
};

const std::vector<Known> kKnown = {
    {"7", 7, 1, 1},
    {"( ( ( [MAX 2 ) 9 ) ] )", 9, 2, 5},
    {"( ( ( [MED 2 ) 9 ) ] )", 5, 2, 5},  // the floor of 5.5
    {"( ( ( ( ( [MED 9 ) 1 ) 8 ) 2 ) ] )", 5, 2, 7},
    {"( ( ( ( [MED 9 ) 1 ) 8 ) ] )", 8, 2, 6},
    {"( ( ( ( [SM 9 ) 8 ) 7 ) ] )", 4, 2, 6},
    {"( ( ( ( [MIN 5 ) ( ( ( [SM 9 ) 3 ) ] ) ) 4 ) ] )", 2, 3, 10},
};

TEST(ListOpsExpressionTest, ReadsEvaluatesAndPrints) {
  for (const Known& known : kKnown) {
    const ListOpsTokens tokens = data::parse_list_ops(known.text);
    EXPECT_EQ(data::list_ops_value(tokens), known.value) << known.text;
    EXPECT_EQ(data::list_ops_depth(tokens), known.depth) << known.text;
    EXPECT_EQ(tokens.size(), known.tokens) << known.text;
    EXPECT_EQ(data::list_ops_text(tokens), known.text);
    EXPECT_EQ(data::list_ops_spans(tokens).size(), tokens.size() - 1) << known.text;
  }
}

TEST(ListOpsExpressionTest, TheTreeAttachesOneArgumentAtATime) {
  const auto tokens = data::parse_list_ops("( ( ( [MIN 5 ) ( ( ( [SM 9 ) 3 ) ] ) ) ] )");
  // [ MIN 5 [ SM 9 3 ] ]
  const std::vector<Span> expected = {{0, 2}, {0, 3}, {3, 5}, {3, 6},
                                      {3, 7}, {3, 8}, {0, 8}, {0, 9}};
  EXPECT_EQ(data::list_ops_spans(tokens), expected);
}

TEST(ListOpsExpressionTest, RefusesWhatIsNoExpression) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no expression"},
      {"12", "unknown token '12'"},
      {"( ( ( [AVG 2 ) 9 ) ] )", "unknown token '[AVG'"},
      {"( ( ( [MAX 2 ) 9 ) ]", "parentheses"},
      {"( ( ( [MAX 2 9 ) ] ) )", "parentheses"},
      {"[MAX 2 9 ]", "parentheses"},
      {"( ( ( [MAX 2 ) 9 ) )", "1 '[' without ']'"},
      {"( [MAX ] )", "without arguments"},
      {"2 )  ]", "unknown token ''"},
      {"]", "']' closes nothing"},
      {"2 3", "more tokens after the end"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(message_of([&] { data::parse_list_ops(text); }), HasSubstr(message)) << text;
  }
}

class ListOpsFileTest : public support::DataTest {};

TEST_F(ListOpsFileTest, ABadLineIsNamed) {
  const std::string good = "9\t( ( ( [MAX 2 ) 9 ) ] )\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"8\t( ( ( [MAX 2 ) 9 ) ] )", "line 3: the label is 8, but the expression's value 9"},
      {"9 ( ( ( [MAX 2 ) 9 ) ] )", "line 3: wanted a label from 0 to 9, a tab"},
      {"10\t1", "line 3: wanted a label"},
      {"", "line 3: wanted a label"},
      {"9\t( ( ( [MAX 2 ) 9 ) ]", "line 3: parentheses"},
      {"9\t( ( ( [MOX 2 ) 9 ) ] )", "line 3: unknown token '[MOX'"},
  };
  for (const auto& [line, message] : cases) {
    support::write_gzip(folder_ / "x.tsv.gz", good + good + line + "\n" + good);
    EXPECT_THAT(message_of([&] { data::read_list_ops(folder_ / "x.tsv.gz"); }), HasSubstr(message));
  }
  support::write_all(folder_ / "plain.tsv", good + good);
  EXPECT_EQ(data::read_list_ops(folder_ / "plain.tsv").size(), 2u);
  support::write_all(folder_ / "empty.tsv", "");
  EXPECT_THAT(message_of([&] { data::read_list_ops(folder_ / "empty.tsv"); }),
              HasSubstr("wanted expressions, got none"));
}

TEST_F(ListOpsFileTest, TheOfficialSetIsHeldToItsHash) {
  support::write_gzip(folder_ / "listops/test_d20s.tsv.gz", "7\t7\n");
  EXPECT_THAT(message_of([&] { data::load_list_ops_test({.dir = folder_.string()}); }),
              HasSubstr("SHA-256"));
  const auto set = data::load_list_ops_test({.dir = folder_.string(), .verify = false});
  EXPECT_EQ(set.examples.size(), 1u);
}

// --- the official test set -----------------------------------------------------------------------

class OfficialListOpsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* root = std::getenv("GRADTHRU_DATA_DIR");
    if (root == nullptr || !std::filesystem::exists(std::filesystem::path(root) / "listops")) {
      GTEST_SKIP() << "no listops in GRADTHRU_DATA_DIR";
    }
    examples_ = data::load_list_ops_test({.dir = root}).examples;
  }

  std::vector<ListOpsExample> examples_;
};

/// Tokens with `[MAX` counted as one.
int64_t words(const ListOpsExample& example) {
  return static_cast<int64_t>(example.tokens.size()) -
         std::count(example.tokens.begin(), example.tokens.end(), data::kListOpsOpen);
}

// That every label is the value and every text is reproduced, the reader has checked.
TEST_F(OfficialListOpsTest, KeepsWhatIsShorterThanAHundredTokens) {
  EXPECT_EQ(examples_.size(), 10'000u);
  EXPECT_EQ(std::count_if(examples_.begin(), examples_.end(),
                          [](const auto& e) { return e.tokens.size() < kTooLong; }),
            8'689);
}

TEST_F(OfficialListOpsTest, TheGeneratorHasItsLawAndItsHash) {
  const auto generated = generate_expressions(kGeneratorSeed, kGenerated, examples_);
  EXPECT_EQ(train::sha256_hex(text_of(generated)), kGeneratedSha256);
  // Kolmogorov-Smirnov on the lengths, at the level 1e-6.
  std::map<int64_t, std::pair<double, double>> shares;
  for (const auto& e : generated) shares[words(e)].first += 1.0 / kGenerated;
  for (const auto& e : examples_) shares[words(e)].second += 1e-4;
  double ours = 0, theirs = 0, distance = 0;
  for (const auto& [length, share] : shares) {
    ours += share.first;
    theirs += share.second;
    distance = std::max(distance, std::abs(ours - theirs));
  }
  const double unit = std::sqrt(1.0 / kGenerated + 1e-4);
  EXPECT_LT(distance, unit * std::sqrt(-std::log(1e-6 / 2) / 2));
  std::set<std::string> official;
  for (const auto& e : examples_) official.insert(data::list_ops_text(e.tokens));
  for (const auto& e : generated) {
    ASSERT_FALSE(official.contains(data::list_ops_text(e.tokens)));
  }
  // Shuffled: before, the first tenth is shorter than the last by a fifth.
  const auto mean = [&](size_t first) {
    double sum = 0;
    for (size_t i = first; i < first + kGenerated / 10; ++i) {
      sum += static_cast<double>(generated[i].tokens.size());
    }
    return sum;
  };
  EXPECT_NEAR(mean(0) / mean(kGenerated * 9 / 10), 1, 0.08);
}

// --- the generator -------------------------------------------------------------------------------

TEST(ListOpsGeneratorTest, IsAFunctionOfItsSeed) {
  const auto examples = generate_expressions(7, 2000, {});
  EXPECT_EQ(train::sha256_hex(text_of(examples)),
            "dbc989db847d0f42436dcf72967e10d5b8ee96b769f0a057f6dd160a10ad44b3");
  EXPECT_NE(text_of(generate_expressions(8, 2000, {})), text_of(examples));
}

TEST(ListOpsGeneratorTest, GivesDifferentExpressionsOutsideTheExcluded) {
  const auto first = generate_expressions(7, 500, {});
  const auto second = generate_expressions(7, 500, first);
  std::set<std::string> seen;
  for (const auto& examples : {first, second}) {
    for (const auto& example : examples) {
      EXPECT_TRUE(seen.insert(data::list_ops_text(example.tokens)).second);
      EXPECT_EQ(data::list_ops_value(example.tokens), example.label);
      EXPECT_LE(data::list_ops_depth(example.tokens), kDeepest);
    }
  }
}

TEST(ListOpsGeneratorTest, OperatorsAreEquallyOften) {
  const auto examples = generate_expressions(11, 20'000, {});
  std::map<int, int> operators;
  int total = 0;
  for (const auto& [tokens, label] : examples) {
    // Long ones are never drawn twice: among them each operator is as likely.
    if (tokens.size() < 30) continue;
    ++operators[tokens[1]];
    ++total;
  }
  ASSERT_EQ(operators.size(), 4u);
  for (const auto& [token, count] : operators) {
    const double expected = total / 4.0, z = (count - expected) / std::sqrt(expected * 0.75);
    EXPECT_LT(std::abs(z), 5) << token;
  }
}

TEST(ListOpsGeneratorTest, FindsTheLastOnes) {
  std::vector<ListOpsExample> digits;
  for (uint8_t digit = 0; digit < 10; ++digit) digits.push_back({{digit}, digit});
  for (const auto& example : generate_expressions(1, 10, digits)) {
    EXPECT_GE(example.tokens.size(), 5u);  // no digit is left
  }
}

// --- batches and reports -------------------------------------------------------------------------

TEST(ListOpsBatchesTest, AnEpochHasEveryExampleOnceInBatchesOfLikeLength) {
  const auto examples = generate_expressions(3, 1003, {});
  std::vector<int64_t> lengths;
  for (const auto& e : examples) lengths.push_back(static_cast<int64_t>(e.tokens.size()));
  Bucketed batches(9, lengths, 8), again(9, lengths, 8);
  std::vector<int> seen(lengths.size(), 0);
  int64_t padding = 0, tokens = 0;
  for (int64_t step = 0; step < batches.per_epoch(); ++step) {
    const auto batch = batches.at(step);
    int64_t longest = 0;
    for (const int64_t i : batch) {
      ++seen[static_cast<size_t>(i)];
      longest = std::max(longest, lengths[static_cast<size_t>(i)]);
      tokens += lengths[static_cast<size_t>(i)];
    }
    padding += longest * static_cast<int64_t>(batch.size());
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), 1003);
  EXPECT_LT(static_cast<double>(padding), 1.2 * static_cast<double>(tokens));
  EXPECT_EQ(again.at(77), batches.at(77));  // entered in its middle
  EXPECT_NE(batches.at(0), batches.at(batches.per_epoch()));
}

TEST(ListOpsReportTest, CountsByLengthAndDepthAndComparesTrees) {
  std::vector<ListOpsExample> examples;
  for (const Known& known : kKnown) {
    examples.push_back({data::parse_list_ops(known.text), known.value});
  }
  std::vector<Verdict> verdicts;
  for (const auto& [tokens, label] : examples) {
    verdicts.push_back({.loss = 1, .label = label, .spans = data::list_ops_spans(tokens)});
  }
  verdicts[1].label = 3;
  Report report = report_on(examples, verdicts);
  EXPECT_EQ(report.all.examples, 7);
  EXPECT_EQ(report.all.right, 6);
  ASSERT_EQ(report.by_length.size(), 1u);
  EXPECT_EQ(report.by_length[0].first, 10);
  ASSERT_EQ(report.by_depth.size(), 3u);
  EXPECT_EQ(report.by_depth[1].examples, 5);
  EXPECT_EQ(report.by_depth[1].right, 4);
  EXPECT_EQ(report.span_f1, 1);
  // A tree that takes the last two first: of `[ MAX 2 9 ]` only the whole is then right.
  for (size_t i = 2; i < verdicts.size(); ++i) verdicts[i].spans.clear();
  verdicts[1].spans = {{3, 5}, {2, 5}, {1, 5}, {0, 5}};
  EXPECT_EQ(report_on(examples, verdicts).span_f1, 0);
}

TEST(ListOpsTreeTest, IsDrawnOneTokenALine) {
  const auto tokens = data::parse_list_ops("( ( ( [MAX 2 ) 9 ) ] )");
  EXPECT_EQ(readable_text(tokens), "[MAX 2 9]");
  EXPECT_EQ(drawn_tree(tokens, {{0, 2}, {3, 5}, {2, 5}, {0, 5}}),
            "─┬─┬─ [\n"
            " │ └─ MAX\n"
            " └─┬─ 2\n"
            "   └─┬─ 9\n"
            "     └─ ]\n");
}

}  // namespace
}  // namespace gradthru::experiments::listops
