#include "lab/network_fidelity.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/refusal.h"

// Estimators of a network's gradient by draws: against enumeration and the exact gradient.
namespace {

using at::Tensor;
using gradthru::Coding;
using gradthru::Estimator;
using gradthru::parse_estimator;
using gradthru::parse_estimators;
using gradthru::lab::BinaryNetwork;
using gradthru::lab::DrawStatistics;
using gradthru::lab::flat;
using gradthru::lab::LayerFidelity;
using gradthru::lab::measure;
using gradthru::lab::NetworkFidelity;
using gradthru::lab::NetworkFidelityOptions;
using gradthru::lab::NetworkLoss;

constexpr int64_t kDraws = 800;

BinaryNetwork network(const std::vector<int64_t>& widths, Coding coding, int64_t N) {
  at::manual_seed(5);
  BinaryNetwork net;
  net.coding = coding;
  net.loss = NetworkLoss::logistic;
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    net.layers.push_back({at::randn({widths[l + 1], widths[l]}, at::kDouble),
                          at::randn({widths[l + 1]}, at::kDouble)});
  }
  net.x = at::randn({N, widths[0]}, at::kDouble);
  net.y = at::randint(0, 2, {N}).to(at::kDouble) * 2 - 1;
  return net;
}

BinaryNetwork small(Coding coding = Coding::plus_minus_one) {
  return network({2, 3, 3, 1}, coding, 3);
}

NetworkFidelity of(const BinaryNetwork& net, const Estimator& e,
                   const NetworkFidelityOptions& options = {}) {
  return measure(net, {e}, options).results.front();
}

/// n |mean - wanted|^2 / tr V has the mean 1 and at most the variance 2.
void expect_mean(const LayerFidelity& layer, const Tensor& wanted, const std::string& what) {
  const double off = (layer.mean - wanted).square().sum().item<double>();
  EXPECT_LE((kDraws * off / layer.variance - 1) / std::sqrt(2.0), 5) << what;
}

TEST(Draws, HaveTheEnumeratedMeanVarianceAndError) {
  for (const Coding coding : {Coding::plus_minus_one, Coding::zero_one}) {
    const BinaryNetwork net = small(coding);
    const auto rules =
        parse_estimators("psa;st;hard_st;zgr;darn;reinforce;reinforce(baseline=0.7)");
    const auto known = measure(net, rules).results;
    const auto drawn = measure(net, rules, {.samples = kDraws, .sampled = true}).results;
    for (size_t i = 0; i < rules.size(); ++i) {
      EXPECT_TRUE(known[i].enumerated && !drawn[i].enumerated);
      for (size_t l = 0; l < net.layers.size(); ++l) {
        const LayerFidelity &a = known[i].layers[l], &b = drawn[i].layers[l];
        const std::string what = to_string(rules[i]) + ", layer " + std::to_string(l + 1);
        expect_mean(b, a.mean, what);
        EXPECT_NEAR(b.variance / a.variance, 1, 0.3) << what;
        for (const size_t at : {0, 9}) {  // M = 1 and 10
          EXPECT_EQ(a.by_samples[at].M, b.by_samples[at].M);
          EXPECT_NEAR(b.by_samples[at].relative_rmse / a.by_samples[at].relative_rmse, 1, 0.2)
              << what;
        }
      }
    }
  }
}

TEST(Draws, OfUnbiasedMethodsHaveTheExactMean) {
  const BinaryNetwork net = small(Coding::zero_one);
  const auto rules = parse_estimators("arm;rloo;rloo(3);reinforce(baseline=moving)");
  const auto all = measure(net, rules, {.samples = kDraws, .sampled = true});
  for (const NetworkFidelity& f : all.results) {
    for (size_t l = 0; l < net.layers.size(); ++l) {
      const std::string what = to_string(f.estimator) + ", layer " + std::to_string(l + 1);
      expect_mean(f.layers[l], flat(all.exact.layers[l]), what);
    }
  }
}

TEST(Draws, OfBiasedMethodsShowTheirBias) {
  const BinaryNetwork net = small();
  for (const char* spec : {"st", "concrete(0.5)", "st(0.5)"}) {
    const auto f = of(net, parse_estimator(spec), {.samples = 3000, .sampled = true});
    EXPECT_FALSE(f.enumerated);
    EXPECT_GT(f.layers[1].relative_bias.low, 0.02) << spec;
    // What is left of the error when M is large, though less than all draws.
    EXPECT_NEAR(f.layers[1].by_samples.back().relative_rmse, f.layers[1].relative_bias.value,
                0.5 * f.layers[1].relative_bias.value)
        << spec;
  }
}

TEST(Draws, AreTheSameForAnyThreads) {
  const BinaryNetwork net = small();
  const NetworkFidelityOptions options{.samples = 300, .key = {.seed = 3}};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = of(net, parse_estimator("arm"), options);
  at::set_num_threads(2);
  const auto two = of(net, parse_estimator("arm"), options);
  EXPECT_EQ(at::get_num_threads(), 2);
  at::set_num_threads(before);
  const auto other = of(net, parse_estimator("arm"), {.samples = 300, .key = {.seed = 4}});
  for (size_t l = 0; l < 3; ++l) {
    EXPECT_TRUE(one.layers[l].mean.equal(two.layers[l].mean));
    EXPECT_FALSE(one.layers[l].mean.equal(other.layers[l].mean));
  }
}

TEST(Methods, WithoutNoiseAreEvaluatedOnce) {
  const BinaryNetwork net = small();
  for (const char* spec : {"exact", "ap1", "tanh", "ap2"}) {
    const auto f = of(net, parse_estimator(spec));
    EXPECT_TRUE(f.enumerated) << spec;
    EXPECT_EQ(f.samples, 0) << spec;
    for (const LayerFidelity& layer : f.layers) {
      EXPECT_EQ(layer.variance, 0);
      EXPECT_EQ(layer.by_samples.back().relative_rmse, layer.relative_bias.value);
      EXPECT_LE(layer.relative_bias.value, std::string(spec) == "exact" ? 1e-13 : 10);
    }
  }
}

TEST(Baseline, ThatMovesIsTheExpectedLoss) {
  const BinaryNetwork net = small();
  const auto all = measure(net, parse_estimators("reinforce(baseline=moving);reinforce"));
  Estimator fixed = gradthru::reinforce();
  fixed.baseline = all.exact.value;
  const auto wanted = of(net, fixed);
  for (size_t l = 0; l < 2; ++l) {
    EXPECT_EQ(all.results[0].layers[l].variance, wanted.layers[l].variance);
    EXPECT_LT(wanted.layers[l].variance, all.results[1].layers[l].variance);
  }
}

TEST(Cosines, OfWhatIsEnumeratedAreDrawnOnRequest) {
  const BinaryNetwork net = small();
  const auto without = of(net, gradthru::psa());
  const auto with = of(net, gradthru::psa(), {.samples = 400, .cosines = true});
  EXPECT_TRUE(with.enumerated);
  EXPECT_EQ(with.samples, 400);
  for (size_t i = 0; i < without.layers[0].by_samples.size(); ++i) {
    const auto &a = without.layers[0].by_samples[i], &b = with.layers[0].by_samples[i];
    EXPECT_EQ(a.relative_rmse, b.relative_rmse);
    EXPECT_FALSE(a.cosine);
    EXPECT_EQ(b.cosine.has_value(), b.M <= 200);
    EXPECT_LE(b.cosine_low.value_or(0), b.cosine_high.value_or(0));
  }
}

TEST(Paths, TooManyAreDrawn) {
  // 2^20 paths for each of 16 and 17 points: as many as are followed, and more.
  const NetworkFidelityOptions few{.samples = 64};
  EXPECT_EQ(paths(network({1, 10, 10, 1}, Coding::zero_one, 16)), gradthru::lab::kMostPaths);
  const auto f = of(network({1, 10, 10, 1}, Coding::zero_one, 17), gradthru::psa(), few);
  EXPECT_FALSE(f.enumerated);
  EXPECT_EQ(f.samples, 64);
}

TEST(Methods, ThatHaveNoFormAreRefusedInOneLine) {
  const BinaryNetwork net = small();
  const auto refused = [&](const char* spec, const char* part) {
    support::expect_refused([&] { measure(net, {parse_estimator(spec)}); }, part);
  };
  refused("disarm", "disarm has no form for networks");
  refused("indecater", "indecater has no form for networks");
  refused("reinforce(tau_f=0.5)", "drawn at tau_f = 1");
  support::expect_refused([&] { measure(net, {gradthru::arm()}, {.samples = 63}); },
                          "samples must be >= 64, got 63");
  support::expect_refused([&] { path_moments(net, gradthru::arm()); },
                          "arm: is no function of the sampled path alone");
}

TEST(File, ReadsBackWhatWasWritten) {
  const BinaryNetwork net = network({3, 2, 4, 1}, Coding::zero_one, 5);
  const BinaryNetwork back = gradthru::lab::parse_network(to_json(net), "written");
  EXPECT_EQ(back.coding, net.coding);
  EXPECT_TRUE(back.x.equal(net.x) && back.y.equal(net.y));
  for (size_t l = 0; l < 3; ++l) {
    EXPECT_TRUE(back.layers[l].W.equal(net.layers[l].W));
    EXPECT_TRUE(back.layers[l].b.equal(net.layers[l].b));
  }
}

// --- statistics --------------------------------------------------------------------------------

TEST(Decades, HaveEveryDigit) {
  const std::vector<int64_t> wanted = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30};
  EXPECT_EQ(gradthru::lab::decades(39), wanted);
  EXPECT_TRUE(gradthru::lab::decades(0).empty());
}

TEST(DrawStatistics, GroupsAreDisjointWhateverThePieces) {
  at::manual_seed(1);
  const Tensor exact = at::randn({4}, at::kDouble), draws = at::randn({100, 4}, at::kDouble);
  const std::vector<int64_t> sizes = {1, 3, 40};
  DrawStatistics whole(exact, 100, sizes), pieces(exact, 100, sizes);
  whole.add(draws, 0);
  int64_t first = 0;
  for (const int64_t count : {1, 1, 50, 7, 41}) {
    pieces.add(draws.narrow(0, first, count), first);
    first += count;
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t M = sizes[i], groups = 100 / M;
    const Tensor means = draws.narrow(0, 0, groups * M).view({groups, M, 4}).mean(1);
    const Tensor squares = (means - exact).square().sum(1);
    for (const DrawStatistics* s : {&whole, &pieces}) {
      const auto& got = s->groups()[i];
      ASSERT_EQ(static_cast<int64_t>(got.squares.size()), groups);
      for (int64_t g = 0; g < groups; ++g) {
        EXPECT_NEAR(got.squares[static_cast<size_t>(g)], squares[g].item<double>(), 1e-12);
        const double cosine =
            at::cosine_similarity(means[g].unsqueeze(0), exact.unsqueeze(0))[0].item<double>();
        EXPECT_NEAR(got.cosines[static_cast<size_t>(g)], cosine, 1e-12);
      }
    }
  }
  EXPECT_LE((whole.mean().mean - draws.mean(0)).abs().max().item<double>(), 1e-14);
  EXPECT_NEAR(pieces.mean().variance, draws.var(0).sum().item<double>(), 1e-12);
}

TEST(RootMeanSquare, HasTheIntervalOfItsSpread) {
  at::manual_seed(2);
  const Tensor x = at::randn({400}, at::kDouble).square();
  const std::vector<double> squares(x.const_data_ptr<double>(), x.const_data_ptr<double>() + 400);
  const auto i = gradthru::lab::root_mean_square(squares);
  EXPECT_NEAR(i.value, std::sqrt(x.mean().item<double>()), 1e-14);
  // The mean of squares has the standard deviation sqrt(2 / 400), its root half of that.
  EXPECT_NEAR((i.high - i.low) / (4 * 0.5 * std::sqrt(2.0 / 400)), 1, 0.35);
  EXPECT_LT(i.low, i.value);
  EXPECT_GT(i.high, i.value);
}

}  // namespace
