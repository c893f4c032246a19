#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/enumeration.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/statistics.h"
#include "support/tolerance.h"

// The means of reinmax_rao and reinmax_cv, which have noise of their own beside the sample.
namespace {

using gradthru::Estimator;
using gradthru::ExtraDraw;
using gradthru::Key;
using support::kLargestZ;
using support::Moments;
using support::Row;

constexpr int64_t kDraws = 300000;
constexpr double kPlain = 20;  // a z score that leaves no doubt

const Row kLogits = {.5, -1, 0, 1.5};

std::vector<Moments> gradient_moments(const Estimator& e, const support::GradientTable& table) {
  return support::gradient_moments(kLogits, e, gradthru::Key{.seed = 6}, table, kDraws);
}

double largest_z(const std::vector<Moments>& moments, const Row& expected) {
  double largest = 0;
  for (size_t k = 0; k < moments.size(); ++k)
    largest = std::max(largest, std::abs(support::z_score(moments[k], expected[k])));
  return largest;
}

support::GradientTable random_table(uint64_t seed) {
  support::Random random(seed);
  return {random.normals(4), random.normals(4), random.normals(4), random.normals(4)};
}

TEST(ReinmaxCv, ConditionalHasTheMeanOfReinmaxForAnyGradient) {
  const support::GradientTable table = random_table(1);
  const Row expected = support::mean_gradient(kLogits, gradthru::reinmax(), table);
  for (int64_t samples : {1, 3}) {
    const Estimator e = gradthru::reinmax_cv({.tau = 0.7, .samples = samples, .eta = 1.5});
    EXPECT_LE(largest_z(gradient_moments(e, table), expected), kLargestZ) << samples;
  }
}

TEST(ReinmaxCv, ConditionalOnlyAddsVariance) {
  const support::GradientTable table = random_table(2);
  const auto plain = gradient_moments(gradthru::zgr(), table);
  const auto corrected = gradient_moments(gradthru::reinmax_cv({.tau = 0.7, .samples = 2}), table);
  for (size_t k = 0; k < 4; ++k) EXPECT_GT(corrected[k].variance, plain[k].variance) << k;
}

TEST(ReinmaxCv, FreeHasAnotherMeanEvenForLinear) {
  const support::GradientTable constant(4, {1, -2, .5, 3});
  const Row exact = reference::jacobian_times(reference::softmax(kLogits), constant[0]);
  const Estimator e =
      gradthru::reinmax_cv({.tau = 0.7, .samples = 1, .eta = 1, .draw = ExtraDraw::free});
  EXPECT_GT(largest_z(gradient_moments(e, constant), exact), kPlain);
}

TEST(ReinmaxCv, WithoutItsShareIsZgr) {
  support::Random random(3);
  const at::Tensor logits = random.normal({30, 5}), g = random.normal({30, 5});
  const gradthru::SampleOptions replay = {.index = random.integers({30}, 0, 4), .key = Key{}};
  for (ExtraDraw draw : {ExtraDraw::conditional, ExtraDraw::free})
    support::expect_near(
        support::run(logits, gradthru::reinmax_cv({.eta = 0, .draw = draw}), replay, g).grad,
        support::run(logits, gradthru::zgr(), replay, g).grad, 1e-15 * support::max_abs(g), "zgr");
}

TEST(ReinmaxRao, IsBiasedEvenForLinear) {
  const support::GradientTable constant(4, {1, -2, .5, 3});
  const Row exact = reference::jacobian_times(reference::softmax(kLogits), constant[0]);
  const Estimator e = gradthru::reinmax_rao({.tau = 0.5, .samples = 2});
  EXPECT_GT(largest_z(gradient_moments(e, constant), exact), kPlain);
}

TEST(ReinmaxRao, ColdIsHalfOfDarn) {
  const support::GradientTable table = random_table(4);
  const double tau = 0.01;
  const auto cold = gradient_moments(gradthru::reinmax_rao({.tau = tau, .samples = 4}), table);
  const Row darn = support::mean_gradient(kLogits, gradthru::darn(), table);
  for (size_t k = 0; k < 4; ++k)
    EXPECT_LE(std::abs(cold[k].mean - 0.5 * darn[k]), tau + kLargestZ * cold[k].error()) << k;
}

TEST(ReinmaxVariants, UseTheOffsetsThatTheySay) {
  EXPECT_EQ(gradthru::offsets_used(gradthru::reinmax_rao({.samples = 3})), 4u);
  EXPECT_EQ(gradthru::offsets_used(gradthru::reinmax_cv({.samples = 3})), 5u);
  EXPECT_EQ(gradthru::offsets_used(gradthru::reinmax_cv({.samples = 3}), {.samples = 2}), 10u);
  EXPECT_EQ(gradthru::binary_offsets_used(gradthru::reinmax_cv({.samples = 3})), 5u);
}

}  // namespace
