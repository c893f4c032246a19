#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "train/config.h"

namespace gradthru::train {
namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Config example() {
  return Config({
      {.name = "seed", .fallback = 0, .bounds = {.min = 0}},
      {.name = "methods", .fallback = std::vector<std::string>{"st"}},
      {.name = "optimiser.name", .fallback = "adam", .bounds = {.choices = {"adam", "radam"}}},
      {.name = "optimiser.lr", .fallback = 1e-3, .bounds = {.above = 0}},
      {.name = "model.K", .fallback = 8, .bounds = {.min = 2, .max = 64}},
      {.name = "model.hidden", .fallback = std::vector<int64_t>{200}, .bounds = {.min = 1}},
      {.name = "model.bias", .fallback = true},
      {.name = "kl_tau", .fallback = "1", .bounds = {.choices = {"1", "tau_f"}}},
      {.name = "note", .fallback = ""},
      {.name = "rates", .fallback = std::vector<double>{}},
  });
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InvalidInput& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  ADD_FAILURE() << "was accepted";
  return "";
}

std::string refusal_of(const std::string& assignment) {
  Config config = example();
  const std::string message = message_of([&] { config.set(assignment); });
  EXPECT_TRUE(config == example()) << assignment;
  return message;
}

TEST(Config, LaterSourcesWin) {
  Config config = example();
  EXPECT_FALSE(config.has_been_set("optimiser.lr"));
  config.merge_toml("seed = 3\n[optimiser]\nlr = 1\n", "smoke.toml");
  EXPECT_EQ(config.number("optimiser.lr"), 1.0);  // an integer is a number
  config.set("optimiser.lr = 3e-4");
  EXPECT_EQ(config.number("optimiser.lr"), 3e-4);
  EXPECT_EQ(config.integer("seed"), 3);
  EXPECT_EQ(config.number("seed"), 3.0);
  EXPECT_TRUE(config.has_been_set("optimiser.lr"));
  EXPECT_FALSE(config.has_been_set("optimiser.name"));
}

TEST(Config, SetTakesTomlAndOtherwiseText) {
  Config config = example();
  config.set("model.hidden=[512, 256]");
  config.set("model.bias=false");
  config.set("optimiser.name=radam");
  config.set("kl_tau=1");  // a text needs no quotes, even if it looks like a number
  config.set("methods=reinmax(tau=1.3)");
  config.set("note=a # b = \"c\"");
  EXPECT_THAT(config.integers("model.hidden"), ElementsAre(512, 256));
  EXPECT_FALSE(config.boolean("model.bias"));
  EXPECT_EQ(config.text("optimiser.name"), "radam");
  EXPECT_EQ(config.text("kl_tau"), "1");
  EXPECT_THAT(config.texts("methods"), ElementsAre("reinmax(tau=1.3)"));
  EXPECT_EQ(config.text("note"), "a # b = \"c\"");
  config.set("note=x\nseed = 9");  // one assignment sets one key
  EXPECT_EQ(config.integer("seed"), 0);
}

TEST(Config, UnknownKeysNameTheNearest) {
  EXPECT_THAT(refusal_of("optimizer.lr=1"), HasSubstr("did you mean 'optimiser.lr'"));
  EXPECT_THAT(refusal_of("lr=1"), HasSubstr("did you mean 'optimiser.lr'"));
  EXPECT_THAT(refusal_of("seed.x=1"), HasSubstr("seed"));
  EXPECT_THAT(refusal_of("qqqqqqqqq=1"), HasSubstr("known keys: seed, methods"));
  Config config = example();
  EXPECT_THAT(message_of([&] { config.merge_toml("\n[optimizer]\nlr = 1", "a.toml"); }),
              AllOf(HasSubstr("a.toml, line 3"), HasSubstr("optimiser.lr")));
  EXPECT_THAT(message_of([&] { config.merge_toml("[grid]\nmodel.k = [1]", "a.toml"); }),
              HasSubstr("model.K"));
}

TEST(Config, WrongValuesSayWhatIsWanted) {
  EXPECT_THAT(refusal_of("optimiser.lr=fast"), AllOf(HasSubstr("number > 0"), HasSubstr("fast")));
  EXPECT_THAT(refusal_of("optimiser.lr=0"), HasSubstr("> 0, got 0"));
  EXPECT_THAT(refusal_of("model.K=1"), HasSubstr("an integer >= 2 and <= 64, got 1"));
  EXPECT_THAT(refusal_of("model.K=65"), HasSubstr("got 65"));
  EXPECT_THAT(refusal_of("model.K=8.0"), HasSubstr("got 8.0"));
  EXPECT_THAT(refusal_of("model.hidden=[512, 0]"), HasSubstr("list of integers >= 1"));
  EXPECT_THAT(refusal_of("model.bias=1"), HasSubstr("true or false, got 1"));
  EXPECT_THAT(refusal_of("optimiser.name=sgd"), HasSubstr("adam, radam"));
  EXPECT_THAT(refusal_of("optimiser.lr=nan"), HasSubstr("nan"));
  EXPECT_THAT(refusal_of("rates=[1, inf]"), HasSubstr("inf"));
  EXPECT_THAT(refusal_of("seed"), HasSubstr("key=value"));
  EXPECT_THAT(refusal_of("=1"), HasSubstr("key=value"));
  EXPECT_THAT(refusal_of("note=\xff"), HasSubstr("UTF-8"));
}

TEST(Config, BrokenFilesNameTheLineAndChangeNothing) {
  Config config = example();
  EXPECT_THAT(message_of([&] { config.merge_toml("seed = 1\nlr = = 2\n", "b.toml"); }),
              HasSubstr("b.toml, line 2"));
  EXPECT_THAT(message_of([&] { config.merge_toml("seed = 1\nkl_tau = 1\n", "b.toml"); }),
              AllOf(HasSubstr("b.toml, line 2"), HasSubstr("kl_tau")));
  EXPECT_TRUE(config == example());
  EXPECT_FALSE(config.has_been_set("seed"));
}

TEST(Config, WhatIsWrittenReadsBackEqual) {
  Config config = example();
  config.set("optimiser.lr=0.1");
  config.set("rates=[1e-320, 1e22, 5, -0.3333333333333333, -0.0]");
  config.set("note=tab\t quote\" back\\ é \x7f \x01");
  config.merge_toml("[grid]\nmodel.K = [4, 8]\nmethods = [\"st\", [\"a\", \"b\"]]", "g");
  const std::string text = config.to_toml({{"version", "0.1.0"}, {"train images", "ab\"c"}});
  Config back = example();
  back.merge_toml(text, "config.toml");
  EXPECT_TRUE(back == config);
  EXPECT_EQ(back.to_toml(), config.to_toml());
  EXPECT_EQ(back.sha256(), config.sha256());
  EXPECT_TRUE(back.has_been_set("model.K"));
}

TEST(Config, HashAndDifferenceSeeTheSame) {
  Config a = example(), b = example();
  EXPECT_EQ(a.sha256(), b.sha256());
  b.set("seed=1");
  b.set("model.K=9");
  EXPECT_NE(a.sha256(), b.sha256());
  EXPECT_THAT(a.differing_keys(b), ElementsAre("seed", "model.K"));
  EXPECT_THAT(a.differing_keys(b, {"seed"}), ElementsAre("model.K"));
  EXPECT_NE(a.sha256({"seed"}), b.sha256({"seed"}));
  EXPECT_EQ(a.sha256({"seed", "model.K"}), b.sha256({"seed", "model.K"}));
  const Config other({{.name = "seed", .fallback = 0}, {.name = "extra", .fallback = 1}});
  EXPECT_THAT(other.differing_keys(Config({{.name = "seed", .fallback = 0}})),
              ElementsAre("extra"));
  EXPECT_THAT(Config({{.name = "seed", .fallback = 0}}).differing_keys(other),
              ElementsAre("extra"));
}

TEST(Config, TheGridKeepsItsOrderAndGivesWayToTheUser) {
  Config config = example();
  config.merge_toml("[grid]\noptimiser.lr = [1, 0.5]\nmodel.K = [4, 8]\n", "g");
  ASSERT_EQ(config.grid().size(), 2u);
  EXPECT_EQ(config.grid()[0].first, "optimiser.lr");
  EXPECT_THAT(config.grid()[0].second, ElementsAre("optimiser.lr=1.0", "optimiser.lr=0.5"));
  EXPECT_EQ(config.integer("model.K"), 8);  // an axis is no assignment

  Config point = config;
  for (const auto& axis : config.grid()) point.set(axis.second.front());
  EXPECT_TRUE(point.grid().empty());
  EXPECT_EQ(point.integer("model.K"), 4);

  config.set("grid.model.K=[16]");
  EXPECT_THAT(config.grid()[1].second, ElementsAre("model.K=16"));
  config.set("grid.optimiser.lr=[]");
  ASSERT_EQ(config.grid().size(), 1u);
  config.set("model.K=4");
  EXPECT_TRUE(config.grid().empty());
  EXPECT_THAT(refusal_of("grid.model.K=[1]"), HasSubstr(">= 2"));
  EXPECT_THAT(refusal_of("grid.model.K=4"), HasSubstr("list of values"));
}

TEST(Config, BadDeclarationsAndQuestionsAreOurMistakes) {
  using Keys = std::vector<ConfigKey>;
  EXPECT_THROW(Config(Keys{{.name = "a", .fallback = 1}, {.name = "a", .fallback = 1}}),
               std::logic_error);
  EXPECT_THROW(Config(Keys{{.name = "a", .fallback = 1}, {.name = "a.b", .fallback = 1}}),
               std::logic_error);
  EXPECT_THROW(Config(Keys{{.name = "grid.a", .fallback = 1}}), std::logic_error);
  EXPECT_THROW(Config(Keys{{.name = "a", .fallback = 1, .bounds = {.min = 2}}}), std::logic_error);
  EXPECT_THROW(example().integer("optimiser.lr"), std::logic_error);
  EXPECT_THROW(example().has_been_set("optimizer.lr"), std::logic_error);
}

}  // namespace
}  // namespace gradthru::train
