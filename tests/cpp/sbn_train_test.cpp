#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "experiments/experiment.h"
#include "experiments/peak_memory.h"
#include "experiments/sbn-train/images.h"
#include "experiments/sbn-train/learner.h"
#include "experiments/sbn-train/network.h"
#include "experiments/sbn-train/rate_search.h"
#include "gradthru/nn/binary_linear.h"
#include "support/data_files.h"
#include "support/refusal.h"

namespace gradthru::experiments {
namespace {

using at::Tensor;
using support::expect_refused;

// --- the search of a learning rate ---------------------------------------------------------------

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<Trial> searched(int64_t evaluations, const std::function<double(double)>& score) {
  const RateSearch search{.evaluations = evaluations};
  std::vector<Trial> trials;
  while (const auto rate = next_trial(search, trials)) trials.push_back({*rate, score(*rate)});
  return trials;
}

TEST(RateSearchTest, MakesExactlyItsEvaluationsInsideTheBounds) {
  for (int64_t n : {0, 1, 2, 3, 6, 10}) {
    const auto trials = searched(n, [](double x) { return std::cosh(x + 2.2); });
    ASSERT_EQ(static_cast<int64_t>(trials.size()), n);
    std::set<double> different;
    for (const Trial& trial : trials) {
      EXPECT_GE(trial.log10_rate, -6);
      EXPECT_LE(trial.log10_rate, 0);
      different.insert(trial.log10_rate);
    }
    EXPECT_EQ(different.size(), trials.size());
  }
}

TEST(RateSearchTest, EndsEarlyOnlyAtAMinimumOfSevenDigits) {
  const auto trials = searched(40, [](double x) { return std::cosh(x + 2.2); });
  EXPECT_LT(trials.size(), 40u);
  EXPECT_NEAR(best_trial(trials)->log10_rate, -2.2, 1e-6);
}

TEST(RateSearchTest, FindsAKnownMinimum) {
  for (const double least : {-5.5, -4.0, -2.7, -1.1}) {
    const auto trials = searched(10, [&](double x) { return 1 + std::pow(x - least, 2); });
    EXPECT_NEAR(best_trial(trials)->log10_rate, least, 0.02);
  }
}

TEST(RateSearchTest, ADivergingRegionNeitherStopsNorMisleadsIt) {
  for (const double edge : {-0.5, -2.0, -3.5, -4.5}) {
    for (const double diverged : {kInfinity, std::nan(""), 1e30}) {
      const double least = edge - 0.7;
      const auto trials = searched(
          12, [&](double x) { return x > edge ? diverged : 0.3 + 0.2 * std::abs(x - least); });
      ASSERT_EQ(trials.size(), 12u);
      EXPECT_NEAR(best_trial(trials)->log10_rate, least, 0.3) << edge << ", " << diverged;
    }
  }
}

TEST(RateSearchTest, NothingIsBestWhereAllDiverge) {
  const auto trials = searched(8, [](double) { return kInfinity; });
  EXPECT_EQ(trials.size(), 8u);
  EXPECT_FALSE(best_trial(trials));
  // It went on to smaller and smaller rates.
  EXPECT_LT(trials.back().log10_rate, -5);
}

TEST(RateSearchTest, GoesOnFromWhereItWasLeft) {
  const auto score = [](double x) { return x > -1 ? kInfinity : std::abs(x + 2); };
  const auto all = searched(9, score);
  for (size_t n = 0; n < all.size(); ++n) {
    const std::vector<Trial> made(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(next_trial({.evaluations = 9}, made), all[n].log10_rate);
  }
}

// --- networks ------------------------------------------------------------------------------------

int64_t parameters_of(const nn::StochasticBinarySequential& net) {
  int64_t count = 0;
  for (const Tensor& p : net->parameters()) count += p.numel();
  return count;
}

TEST(NetworkTest, CifarS1HasThePublishedSizes) {
  for (const auto& [channels, wanted] : {std::pair{3, 1375498}, std::pair{1, 1373770}}) {
    const SbnShape shape{.net = "cifar_s1", .channels = channels, .side = 32};
    const auto net = make_network(shape);
    EXPECT_EQ(parameters_of(net), wanted);
    const auto layers = net->sample(at::zeros({1, channels, 32, 32}), {.key = Key{}});
    int64_t units = 0;
    std::vector<int64_t> sides;
    for (const auto& layer : layers) {
      units += layer.x.numel();
      sides.push_back(layer.x.size(3));
    }
    EXPECT_EQ(units, 221280);
    EXPECT_EQ(sides, (std::vector<int64_t>{30, 28, 13, 11, 9, 4, 2, 2}));
    EXPECT_EQ(net->weight.sizes(), (at::IntArrayRef{10, 768}));
  }
}

TEST(NetworkTest, WidthMultipliesTheChannels) {
  EXPECT_EQ(channels_at(0.125), (std::pair<int64_t, int64_t>{12, 24}));
  EXPECT_EQ(channels_at(1), (std::pair<int64_t, int64_t>{96, 192}));
  for (const double width : {0.12, 0.001, 17.0}) {
    expect_refused([&] { channels_at(width); }, "whole number of 96 x width channels");
  }
}

TEST(NetworkTest, FullyConnectedSeesOneRowFromMinusOneToOne) {
  const SbnShape shape{.hidden = {7, 5}};
  EXPECT_EQ(parameters_of(make_network(shape)), 784 * 7 + 7 + 7 * 5 + 5 + 5 * 10 + 10);
  const Tensor input = network_input(shape, at::full({2, 1, 28, 28}, 0.75));
  EXPECT_EQ(input.sizes(), (at::IntArrayRef{2, 784}));
  EXPECT_TRUE((input == 0.5).all().item<bool>());
}

// --- images --------------------------------------------------------------------------------------

/// How many of the ways to crop a padded image, and to turn it, give this result.
std::set<std::vector<int64_t>> ways(const Tensor& image, const Tensor& result, int64_t pad) {
  const int64_t H = image.size(1), W = image.size(2);
  const Tensor around = at::constant_pad_nd(image, {pad, pad, pad, pad}, 0);
  std::set<std::vector<int64_t>> found;
  for (int64_t y = 0; y <= 2 * pad; ++y) {
    for (int64_t x = 0; x <= 2 * pad; ++x) {
      const Tensor crop = around.narrow(1, y, H).narrow(2, x, W);
      if (crop.equal(result)) found.insert({y, x, 0});
      if (crop.flip(2).equal(result)) found.insert({y, x, 1});
    }
  }
  return found;
}

TEST(AugmentTest, TakesEveryCropOfThePaddedImageAndTurnsHalf) {
  const Tensor one = at::arange(1, 2 * 6 * 5 + 1, at::kFloat).view({2, 6, 5});
  const Tensor batch = one.expand({800, 2, 6, 5});
  const Tensor result = augment(batch, {.pad = 2, .flip = true}, 7, 3);
  ASSERT_EQ(result.sizes(), batch.sizes());
  std::set<std::vector<int64_t>> all;
  int64_t turned = 0;
  for (int64_t i = 0; i < batch.size(0); ++i) {
    const auto found = ways(one, result[i], 2);
    ASSERT_EQ(found.size(), 1u) << i;
    all.insert(*found.begin());
    turned += found.begin()->back();
  }
  EXPECT_EQ(all.size(), 5u * 5u * 2u);
  EXPECT_NEAR(turned, 400, 80);
  const Tensor unturned = augment(batch, {.pad = 1}, 7, 3);
  for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(ways(one, unturned[i], 1).begin()->back(), 0);
}

TEST(AugmentTest, IsAFunctionOfSeedAndStep) {
  const Tensor images = at::rand({16, 1, 8, 8});
  const Augmentation how{.pad = 2};
  const Tensor first = augment(images, how, 7, 3);
  EXPECT_TRUE(first.equal(augment(images, how, 7, 3)));
  EXPECT_FALSE(first.equal(augment(images, how, 7, 4)));
  EXPECT_FALSE(first.equal(augment(images, how, 8, 3)));
  EXPECT_TRUE(images.equal(augment(images, {}, 7, 3)));
}

using SbnDataTest = support::DataTest;

/// Records whose first red byte is their number in all files together.
std::string cifar_records(int first, int count) {
  std::string bytes;
  for (int i = first; i < first + count; ++i) {
    std::string pixels(3072, '\0');
    pixels[0] = static_cast<char>(i);
    bytes += static_cast<char>(i % 10) + pixels;
  }
  return bytes;
}

TEST_F(SbnDataTest, HoldsOutATenthWhateverTheSeedAndKeepsImagesWithTheirLabels) {
  const auto folder = folder_ / "cifar-10-batches-bin";
  for (int i = 0; i < 5; ++i) {
    support::write_all(folder / ("data_batch_" + std::to_string(i + 1) + ".bin"),
                       cifar_records(8 * i, 8));
  }
  support::write_all(folder / "test_batch.bin", cifar_records(100, 6));
  train::Config config = preset_config(find("sbn-train"), "smoke");
  for (const std::string set : {"data.name=cifar-10", "data.verify=false", "data.valid_limit=0"}) {
    config.set(set);
  }
  config.set("data.dir=\"" + folder_.string() + "\"");
  const SbnData data = load_sbn_data(config, true);
  EXPECT_EQ(data.train.size(), 36);
  EXPECT_EQ(data.valid.size(), 4);
  EXPECT_EQ(data.test.size(), 6);
  EXPECT_EQ(data.augmentation.pad, 4);
  EXPECT_TRUE(data.augmentation.flip);
  EXPECT_EQ(data.sha256.size(), 6u);
  std::set<int64_t> numbers;
  for (const LabelledImages* part : {&data.train, &data.valid}) {
    for (int64_t i = 0; i < part->size(); ++i) {
      const auto number = part->images[i][0][0][0].item<int64_t>();
      EXPECT_EQ(part->labels[i].item<int64_t>(), number % 10);
      numbers.insert(number);
    }
  }
  EXPECT_EQ(numbers.size(), 40u);
  // As the network sees them: 0..1.
  const LabelledImages seen = data.test.select(at::tensor({2}, at::kLong));
  EXPECT_FLOAT_EQ(seen.images[0][0][0][0].item<float>(), 102.0f / 255);
  config.set("data.train_limit=5");
  EXPECT_TRUE(load_sbn_data(config, true).train.labels.equal(data.train.labels.narrow(0, 0, 5)));
}

// --- learning ------------------------------------------------------------------------------------

Learner small_learner(const Learner::Options& options) {
  at::manual_seed(3);
  return Learner(make_network({.hidden = {6, 6}, .side = 4}), options);
}

TEST(LearnerTest, ClipsEveryElementOfTheGradient) {
  Learner learner = small_learner({.estimator = parse_estimator("psa"), .clip = 1e-3});
  learner.restart(1);
  std::vector<Tensor> before;
  for (const Tensor& p : learner.net()->parameters()) before.push_back(p.detach().clone());
  learner.update(at::randn({8, 16}), at::zeros({8}, at::kLong), 0);
  const auto after = learner.net()->parameters();
  for (size_t i = 0; i < after.size(); ++i) {
    // Nesterov's first step is 1.9 gradients; most of the elements are clipped.
    const Tensor change = (after[i] - before[i]).abs();
    EXPECT_LE(change.max().item<double>(), 1.9e-3 * 1.001);
    EXPECT_GT(change.max().item<double>(), 1.9e-3 * 0.999);
  }
}

TEST(LearnerTest, RestartRepeatsEverything) {
  const Tensor x = at::randn({8, 16}), y = at::arange(8);
  for (const char* spec : {"psa", "reinforce(baseline=moving)", "local_reparam", "rloo(3)"}) {
    Learner learner = small_learner({.estimator = parse_estimator(spec), .noise_seed = 5});
    const auto losses = [&](double rate) {
      learner.restart(rate);
      std::vector<double> all;
      for (int i = 0; i < 5; ++i) all.push_back(learner.update(x, y, 0));
      return all;
    };
    const auto first = losses(0.1);
    EXPECT_NE(losses(0.01), first) << spec;
    EXPECT_EQ(losses(0.1), first) << spec;
    // Weights that stand still, noise that does not.
    const auto still = losses(1e-30);
    EXPECT_EQ(std::set<double>(still.begin(), still.end()).size(), 5u) << spec;
  }
}

TEST(LearnerTest, MeasuringMemoryChangesNothing) {
  const Tensor x = at::randn({8, 16}), y = at::arange(8);
  Learner learner = small_learner({.estimator = parse_estimator("reinforce(baseline=moving)")});
  std::vector<double> losses;
  for (const bool measured : {false, true}) {
    learner.restart(0.1);
    learner.update(x, y, 0);
    const int64_t bytes = measured ? learner.peak_bytes(x, y) : 0;
    EXPECT_EQ(bytes > 8 * 6 * 4, measured);
    losses.push_back(learner.update(x, y, 0));
  }
  EXPECT_EQ(losses[0], losses[1]);
}

TEST(PeakMemoryTest, CountsWhatIsHeldAtOnce) {
  constexpr int64_t kMiB = int64_t{1} << 20;
  const Tensor before = at::empty({kMiB}, at::kByte);
  const PeakMemory memory;
  for (int i = 0; i < 3; ++i) at::empty({kMiB}, at::kByte);
  EXPECT_EQ(memory.bytes(), kMiB);
  const Tensor one = at::empty({kMiB}, at::kByte), two = at::empty({2 * kMiB}, at::kByte);
  EXPECT_EQ(memory.bytes(), 3 * kMiB);
}

}  // namespace
}  // namespace gradthru::experiments
