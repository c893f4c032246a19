#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "experiments/cost/measure.h"
#include "experiments/cost/plain.h"
#include "experiments/cost/statistics.h"
#include "experiments/cost/workloads.h"
#include "experiments/peak_memory.h"
#include "gradthru/categorical.h"
#include "support/refusal.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;
using support::expect_refused;

// --- statistics ----------------------------------------------------------------------------------

TEST(CostRatioTest, IsPairedByRepetition) {
  // A machine that becomes ten times slower and recovers; the one always takes 1.5 of the other.
  std::vector<double> a, b;
  for (int i = 0; i < 50; ++i) {
    b.push_back(1 + 9 * std::abs(std::sin(i)));
    a.push_back(1.5 * b.back());
  }
  const Ratio ratio = ratio_of(a, b, 1);
  EXPECT_NEAR(ratio.value, 1.5, 1e-12);
  EXPECT_NEAR(ratio.low, 1.5, 1e-12);
  EXPECT_NEAR(ratio.high, 1.5, 1e-12);
}

TEST(CostRatioTest, IntervalIsThatOfAMedian) {
  // Ratios 1..99: by the binomial law the median lies between the 40th and the 60th.
  std::vector<double> a, b(99, 2.0);
  for (int i = 1; i <= 99; ++i) a.push_back(2 * ((37 * i) % 99 + 1));
  const Ratio ratio = ratio_of(a, b, 1), again = ratio_of(a, b, 1), other = ratio_of(a, b, 2);
  EXPECT_EQ(ratio.value, 50);
  EXPECT_NEAR(ratio.low, 40, 3);
  EXPECT_NEAR(ratio.high, 60, 3);
  EXPECT_EQ(ratio.low, again.low);
  EXPECT_EQ(ratio.high, again.high);
  EXPECT_NEAR(ratio.low, other.low, 3);
  EXPECT_EQ(ratio.value, other.value);
}

TEST(CostRatioTest, OneSlowRepetitionDoesNotCount) {
  std::vector<double> a(20, 3.0), b(20, 2.0);
  a[7] = 1e6;
  const Ratio ratio = ratio_of(a, b, 1);
  EXPECT_EQ(ratio.value, 1.5);
  EXPECT_EQ(ratio.high, 1.5);
}

TEST(CostRatioTest, RefusesTimesWithoutPartners) {
  EXPECT_THROW(ratio_of({}, {}, 1), std::logic_error);
  EXPECT_THROW(ratio_of({1, 2}, {1}, 1), std::logic_error);
}

// --- plain forms ---------------------------------------------------------------------------------

TEST(CostPlainTest, EveryWayIsItsEstimator) {
  const std::map<std::string, size_t> wanted = {{"st", 2},
                                                {"st(0.7)", 2},
                                                {"reinmax", 2},
                                                {"reinmax(1.3)", 2},
                                                {"gst(1)", 2},
                                                {"gumbel_softmax", 2},
                                                {"gumbel_softmax(0.5)", 2},
                                                {"gumbel_softmax(tau=0.5,hard=false)", 1},
                                                {"gumbel_rao(10)", 2}};
  for (const auto& [spec, count] : wanted) {
    const Estimator e = parse_estimator(spec);
    const auto ways = plain_ways(e, 100, 10);
    EXPECT_EQ(ways.size(), count) << spec;
    for (const auto& [name, way] : ways) {
      EXPECT_NO_THROW(check_way(e, way)) << spec << ", " << name;
    }
  }
  EXPECT_TRUE(plain_ways(zgr(), 100, 10).empty());
}

TEST(CostPlainTest, AnotherEstimatorIsFound) {
  const auto way_of = [](const Estimator& e) { return plain_ways(e, 100, 10).at(0).second; };
  const auto expect_found = [](const Estimator& e, const Draw& way) {
    EXPECT_THROW(check_way(e, way), std::runtime_error) << to_string(e);
  };
  expect_found(reinmax(), way_of(st()));
  expect_found(st(), way_of(reinmax()));
  expect_found(reinmax(1.3), way_of(reinmax()));
  expect_found(gst(1.0), way_of(gst(3.0)));
  expect_found(gumbel_softmax(), way_of(gumbel_softmax(0.5)));
  expect_found(gumbel_rao(10), way_of(st()));
  expect_found(st(), [](const Tensor& logits) { return at::softmax(logits, -1); });
  // The right gradient at samples of another law.
  expect_found(st(), [](const Tensor& logits) {
    const Tensor index = at::softmax(2 * logits.detach(), -1).multinomial(1).squeeze(-1);
    return sample(logits, st(), {.index = index}).onehot;
  });
}

TEST(CostPlainTest, ManyDrawsOfALargeTensorAreLeftOut) {
  EXPECT_FALSE(plain_ways(gumbel_rao(10), 1000, 1000).empty());
  EXPECT_TRUE(plain_ways(gumbel_rao(100), 1000, 1000).empty());
}

// --- memory --------------------------------------------------------------------------------------

constexpr int64_t kRows = 1000, kCategories = 10;
constexpr int64_t kTensor = kRows * kCategories * 4;  // bytes of one float tensor

TEST(CostMemoryTest, CountersFollowAKnownPattern) {
  const PeakMemory memory;
  Tensor one = at::empty({1000}, at::kByte);
  EXPECT_EQ(memory.held(), 1000);
  {
    const Tensor two = at::empty({3000}, at::kByte);
    EXPECT_EQ(memory.held(), 4000);
  }
  EXPECT_EQ(memory.held(), 1000);
  one.reset();
  EXPECT_EQ(memory.held(), 0);
  EXPECT_EQ(memory.bytes(), 4000);
}

TEST(CostMemoryTest, OnlyWhatTheGraphKeepsIsSaved) {
  const auto workload = kernel(kRows, kCategories, 0);
  const Tensor leaf = at::randn({kRows, kCategories}).requires_grad_();
  // exp keeps its result, which is also what sin keeps; the result of sin is the root.
  const StepMemory kept = memory_of_step(*workload, {"", [&] { return leaf.exp().sin(); }});
  EXPECT_EQ(kept.saved, kTensor);
  // The root, what exp keeps, the gradient between the two, and the last one.
  EXPECT_GE(kept.peak, 3 * kTensor);
  EXPECT_LE(kept.peak, 5 * kTensor);
  const StepMemory nothing = memory_of_step(*workload, {"", [&] { return leaf.clone(); }});
  EXPECT_EQ(nothing.saved, 0);
}

TEST(CostMemoryTest, AnEstimatorKeepsALogitsTensorAndAnIndex) {
  const auto workload = kernel(kRows, kCategories, 0);
  const auto saved = [&](const Estimator& e) {
    const auto candidates = workload->candidates(e, false);
    return memory_of_step(*workload, candidates.front()).saved;
  };
  EXPECT_EQ(saved(reinmax()), kTensor + 8 * kRows);
  EXPECT_EQ(saved(st()), kTensor + 8 * kRows);
  // Fused: no memory for the draws.
  EXPECT_EQ(saved(gumbel_rao(10)), saved(gumbel_rao(100)));
  const auto none = workload->candidates(st(), false).at(1);
  EXPECT_EQ(none.name, "none");
  EXPECT_EQ(memory_of_step(*workload, none).saved, kTensor);
}

TEST(CostMemoryTest, PlainGumbelRaoGrowsWithItsDraws) {
  const auto workload = kernel(kRows, kCategories, 0);
  const auto peak = [&](double draws) {
    return memory_of_step(*workload, workload->candidates(gumbel_rao(draws), true).back()).peak;
  };
  const auto five = static_cast<double>(peak(5)), fifty = static_cast<double>(peak(50));
  EXPECT_GT(fifty, 5 * five);
}

// --- steps ---------------------------------------------------------------------------------------

/// All candidates that sample have the same expected loss, and `exact` has it without noise.
void expect_same_mean(Workload& workload, const Estimator& e, int draws) {
  double wanted = NAN, error = 0;
  for (const Candidate& candidate : workload.candidates(e, true)) {
    if (candidate.name == "none") continue;
    std::vector<double> values;
    for (int i = 0; i < draws; ++i) values.push_back(candidate.forward().item<double>());
    const Tensor all = at::tensor(values, at::kDouble);
    const double mean = all.mean().item<double>();
    const double own = all.std().item<double>() / std::sqrt(draws);
    if (std::isfinite(wanted)) {
      EXPECT_NEAR(mean, wanted, 6 * std::hypot(own, error) + 1e-5)
          << to_string(e) << ", " << candidate.name;
    } else {
      wanted = mean;
      error = own;
    }
  }
}

TEST(CostStepTest, CandidatesOfAStepHaveTheSameObjective) {
  const auto poly = polynomial(3, 2, 8, 0);
  const auto vae = vae_step({.K = 3, .L = 2, .pixels = 6, .hidden = {5}}, 4, 0);
  for (const char* spec : {"reinmax", "gst(1)", "gumbel_softmax", "rloo(3)", "reinforce"}) {
    expect_same_mean(*poly, parse_estimator(spec), 400);
    expect_same_mean(*vae, parse_estimator(spec), 400);
  }
  const auto network = network_step({.hidden = {3, 2}, .channels = 1, .side = 4}, 8, 0);
  for (const char* spec : {"st", "zgr", "reinforce"}) {
    expect_same_mean(*network, parse_estimator(spec), 400);
  }
}

TEST(CostStepTest, ListOpsDrawnDenselyIsTheStepOfTheExperiment) {
  const auto workload = listops_step(4, 3, 5, 0);
  for (const char* spec : {"st", "reinmax", "gumbel_softmax"}) {
    expect_same_mean(*workload, parse_estimator(spec), 200);
  }
}

TEST(CostStepTest, AStepLeavesGradientsAndWeightsWhereTheyWere) {
  const auto workload = vae_step({.K = 3, .L = 2, .pixels = 6, .hidden = {5}}, 4, 0);
  const auto exact = workload->candidates(gradthru::exact(), false).front();
  const double before = exact.forward().item<double>();
  for (const Candidate& candidate : workload->candidates(reinmax(), true)) {
    const StepTimes times = time_steps(*workload, candidate, 5);
    EXPECT_GE(times.step * static_cast<double>(times.calls), 5 * (1 - 1e-9));
    EXPECT_EQ(time_steps(*workload, candidate, 0).calls, 1);
    EXPECT_GT(times.forward, 0);
    EXPECT_GT(times.backward, 0);
    EXPECT_GE(times.step, times.forward + times.backward);
  }
  EXPECT_NEAR(exact.forward().item<double>(), before, 1e-3);
}

TEST(CostStepTest, RefusesWhatAStepCannotUse) {
  const auto one = kernel(2, 3, 0);
  expect_refused([&] { one->candidates(gradthru::exact(), false); }, "enumerated");
  expect_refused([&] { one->candidates(reinforce(), false).front().forward(); }, "workload=kernel");
  const auto large = vae_step({.K = 10, .L = 30, .pixels = 6, .hidden = {5}}, 4, 0);
  expect_refused([&] { large->candidates(gradthru::exact(), false); }, "enumerated");
}

}  // namespace
}  // namespace gradthru::experiments::cost
