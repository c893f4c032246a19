#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "support/draws.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/tolerance.h"

// The edges of sampling: empty and degenerate shapes, saturated, masked and invalid logits, zero
// temperature, wrong arguments.
namespace {

using gradthru::Estimator;
using gradthru::InvalidInput;
using gradthru::Key;
using gradthru::sample;
using gradthru::Sample;
using gradthru::to_string;
using support::Outcome;
using support::Row;

constexpr Key kKey{.seed = 5, .offset = 1};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const std::vector<at::ScalarType> kDtypes = {at::kDouble, at::kFloat};

TEST(Shape, OneCategory) {
  for (const Estimator& e : support::sweep()) {
    const Outcome run = support::run(at::full({3, 1}, 0.7, at::kDouble), e, {.key = kKey},
                                     at::full({3, 1}, 2.0, at::kDouble));
    support::expect_same_bits(run.drawn.onehot, at::ones({3, 1}, at::kDouble), to_string(e));
    support::expect_same_bits(run.drawn.index, at::zeros({3}, at::kLong), to_string(e));
    const double expected = e.method == gradthru::Method::identity ? 2 : 0;
    support::expect_near(run.grad, at::full({3, 1}, expected, at::kDouble), 1e-12, to_string(e));
  }
}

TEST(Shape, NoRows) {
  for (const Estimator& e : support::sweep()) {
    const at::Tensor empty = at::empty({2, 0, 5}, at::kFloat);
    const Outcome run = support::run(empty, e, {.key = kKey}, empty);
    EXPECT_EQ(run.drawn.onehot.sizes(), (std::vector<int64_t>{2, 0, 5})) << to_string(e);
    EXPECT_EQ(run.drawn.index.sizes(), (std::vector<int64_t>{2, 0})) << to_string(e);
    EXPECT_EQ(run.grad.sizes(), empty.sizes()) << to_string(e);
  }
}

TEST(Shape, OneRowWithoutOtherDimensions) {
  const Sample z = sample(at::zeros({4}, at::kDouble), gradthru::st(), {.key = kKey});
  EXPECT_EQ(z.onehot.sizes(), (std::vector<int64_t>{4}));
  EXPECT_EQ(z.index.dim(), 0);
}

TEST(Shape, NoCategoriesIsAnError) {
  EXPECT_ANY_THROW(sample(at::empty({3, 0}, at::kDouble), gradthru::st(), {.key = kKey}));
}

TEST(Argument, WrongTensorsAreErrors) {
  const at::Tensor logits = at::zeros({3, 4}, at::kDouble);
  const Estimator e = gradthru::st();
  EXPECT_THROW(sample(at::zeros({3, 4}, at::kLong), e, {.key = kKey}), c10::Error);
  EXPECT_THROW(sample(at::scalar_tensor(1.0), e, {.key = kKey}), c10::Error);
  EXPECT_THROW(sample(logits, e, {.dim = 2, .key = kKey}), c10::Error);
  EXPECT_THROW(sample(logits, e, {.index = at::zeros({3}, at::kDouble), .key = kKey}), c10::Error);
  EXPECT_THROW(sample(logits, e, {.index = at::zeros({4}, at::kLong), .key = kKey}), c10::Error);
}

TEST(Argument, ScheduleWithoutProgressIsAnError) {
  const gradthru::Temperature schedule = gradthru::Temperature::linear(1, 0.5);
  EXPECT_THROW(sample(at::zeros({3, 4}), gradthru::st({.tau_b = schedule}), {.key = kKey}),
               InvalidInput);
  EXPECT_NO_THROW(
      sample(at::zeros({3, 4}), gradthru::st({.tau_b = schedule}).at(0.5), {.key = kKey}));
}

TEST(Saturated, TheLargestWinsAndTheGradientIsFinite) {
  const at::Tensor logits = support::matrix_from({{1e4, -1e4, 0, 9e3}, {-1e4, 0, 1e4, -1e4}});
  const at::Tensor g = support::matrix_from({{1, -2, 3, .5}, {2, 1, -1, 0}});
  for (at::ScalarType dtype : kDtypes)
    for (const Estimator& e : support::sweep()) {
      const Outcome run = support::run(logits.to(dtype), e, {.key = kKey}, g.to(dtype));
      support::expect_same_bits(run.drawn.index, support::index_tensor({0, 2}), to_string(e));
      EXPECT_TRUE(run.grad.isfinite().all().item<bool>()) << to_string(e) << run.grad;
      EXPECT_TRUE(run.drawn.onehot.isfinite().all().item<bool>()) << to_string(e);
    }
}

/// All but the rule that divides by the probability of the drawn category.
std::vector<Estimator> bounded_sweep() {
  std::vector<Estimator> bounded = support::sweep();
  std::erase_if(bounded,
                [](const Estimator& e) { return e.method == gradthru::Method::reinmax_uniform; });
  return bounded;
}

TEST(Saturated, AGivenIndexOfVanishingProbabilityHasAFiniteGradient) {
  const at::Tensor logits = support::matrix_from({{1e4, -1e4, 0}, {1e4, -1e4, 0}, {1e4, -1e4, 0}});
  const at::Tensor g = support::matrix_from({{1, -2, 3}, {1, -2, 3}, {1, -2, 3}});
  const gradthru::SampleOptions replay = {.index = support::index_tensor({0, 1, 2}), .key = kKey};
  for (at::ScalarType dtype : kDtypes)
    for (const Estimator& e : bounded_sweep()) {
      const Outcome run = support::run(logits.to(dtype), e, replay, g.to(dtype));
      EXPECT_TRUE(run.grad.isfinite().all().item<bool>()) << to_string(e) << run.grad;
    }
}

TEST(ZeroTemperature, IsArgmaxWithTheLowestIndexOnTies) {
  const at::Tensor logits = support::matrix_from(
      {{0, 2, 1, 2}, {-1, -1, -1, -1}, {-3, -2, -kInfinity, -5}, {1, 2, 3, 4}});
  for (at::ScalarType dtype : kDtypes)
    for (const Estimator& e :
         {gradthru::st({.tau_f = 0, .tau_b = 0.7}), gradthru::identity({.tau_f = 0})})
      for (uint64_t seed = 0; seed < 20; ++seed) {
        const Sample z = sample(logits.to(dtype), e, {.key = Key{.seed = seed}});
        support::expect_same_bits(z.index, support::index_tensor({1, 0, 1, 3}), to_string(e));
      }
}

TEST(ZeroTemperature, BackwardIsThatOfTheBackwardTemperature) {
  support::Random random(1);
  const at::Tensor logits = random.normal({5, 4}), g = random.normal({5, 4});
  const Outcome cold =
      support::run(logits, gradthru::st({.tau_f = 0, .tau_b = 0.7}), {.key = kKey}, g);
  const Outcome warm = support::run(logits, gradthru::st({.tau_f = 1, .tau_b = 0.7}),
                                    {.index = cold.drawn.index}, g);
  support::expect_near(cold.grad, warm.grad, 1e-15, "st");
  const Outcome identity = support::run(logits, gradthru::identity({.tau_f = 0}), {.key = kKey}, g);
  support::expect_same_bits(identity.grad, g, "identity");
}

TEST(Skipped, RowIsZeroAndHasNoGradient) {
  support::Random random(2);
  const at::Tensor logits = random.normal({3, 4}), g = random.normal({3, 4});
  for (const Estimator& e : support::sweep()) {
    const gradthru::SampleOptions replay = {.index = support::index_tensor({2, -1, 0}),
                                            .key = kKey};
    const Outcome run = support::run(logits, e, replay, g);
    support::expect_same_bits(run.drawn.index, *replay.index, to_string(e));
    support::expect_same_bits(run.drawn.onehot[1], at::zeros({4}, at::kDouble), to_string(e));
    support::expect_same_bits(run.grad[1], at::zeros({4}, at::kDouble), to_string(e));
    EXPECT_GT(support::max_abs(run.grad[0]), 0) << to_string(e);
  }
}

/// Row 1 of three is invalid; the others are as if it were not there.
void expect_invalid_middle_row(const at::Tensor& logits, const Estimator& e,
                               gradthru::SampleOptions options, const std::string& what) {
  const at::Tensor g = at::ones_like(logits).cumsum(-1);
  options.key = kKey;
  const Outcome run = support::run(logits, e, options, g);
  EXPECT_EQ(run.drawn.index[1].item<int64_t>(), -1) << what;
  EXPECT_TRUE(run.drawn.onehot[1].isnan().all().item<bool>()) << what << run.drawn.onehot;
  EXPECT_TRUE(run.grad[1].isnan().all().item<bool>()) << what << run.grad;
  for (int64_t n : {0, 2}) {
    EXPECT_GE(run.drawn.index[n].item<int64_t>(), 0) << what;
    EXPECT_TRUE(run.drawn.onehot[n].isfinite().all().item<bool>()) << what;
    EXPECT_TRUE(run.grad[n].isfinite().all().item<bool>()) << what << run.grad;
  }
}

TEST(Invalid, NanOrInfiniteLogitsSpoilTheirRowOnly) {
  for (at::ScalarType dtype : kDtypes)
    for (const Estimator& e : support::sweep())
      for (double bad : {kNan, kInfinity})
        for (int64_t column : {0, 2, 8}) {
          at::Tensor logits = support::Random(3).normal({3, 9}, 1, dtype);
          logits[1][column].fill_(bad);
          expect_invalid_middle_row(logits, e, {}, to_string(e));
        }
}

TEST(Invalid, IndexOutOfRangeSpoilsItsRowOnly) {
  const at::Tensor logits = support::Random(4).normal({3, 4});
  for (const Estimator& e : support::sweep())
    for (int64_t bad : {4, 1000, -2})
      expect_invalid_middle_row(logits, e, {.index = support::index_tensor({1, bad, 3})},
                                to_string(e));
}

TEST(Masked, NanGradientOfAnAllowedCategorySpoilsItsRowOnly) {
  support::Random random(5);
  const at::Tensor logits = random.normal({3, 4});
  at::Tensor g = random.normal({3, 4});
  g[1][2].fill_(kNan);
  for (const Estimator& e : support::sweep()) {
    const Outcome run = support::run(logits, e, {.key = kKey}, g);
    EXPECT_TRUE(run.grad[1].isnan().any().item<bool>()) << to_string(e);
    EXPECT_TRUE(run.grad[0].isfinite().all().item<bool>()) << to_string(e);
    EXPECT_TRUE(run.grad[2].isfinite().all().item<bool>()) << to_string(e);
  }
}

/// The estimator of a row from which categories were deleted.
Estimator restricted(const Estimator& e, const std::vector<int64_t>& kept) {
  Estimator few = e;
  for (size_t k = 0; k < kept.size() && !e.values.empty(); ++k)
    few.values[k] = e.values[static_cast<size_t>(kept[k])];
  return support::for_categories(few, static_cast<int64_t>(kept.size()));
}

TEST(Masked, ACategoryAtMinusInfinityDoesNotExist) {
  support::Random random(6);
  const std::vector<int64_t> kept = {0, 2, 3, 5};
  const at::Tensor keep = support::index_tensor(kept);
  for (Estimator e : support::discrete_only_sweep()) {
    e = support::for_categories(e, 6);
    const at::Tensor few = random.normal({4, 4}), few_g = random.normal({4, 4});
    const at::Tensor many = at::full({4, 6}, -kInfinity, at::kDouble).index_copy(1, keep, few);
    const at::Tensor many_g = at::full({4, 6}, kNan, at::kDouble).index_copy(1, keep, few_g);
    const at::Tensor index = at::arange(4);
    const Outcome small =
        support::run(few, restricted(e, kept), {.index = index, .key = kKey}, few_g);
    const gradthru::SampleOptions replay = {.index = keep.index_select(0, index), .key = kKey};
    const Outcome large = support::run(many, e, replay, many_g);
    support::expect_near(large.grad.index_select(1, keep), small.grad,
                         1e-13 * support::max_abs(small.grad) + 1e-14, to_string(e));
    const at::Tensor masked = large.grad.index_select(1, support::index_tensor({1, 4}));
    support::expect_same_bits(masked, at::zeros({4, 2}, at::kDouble), to_string(e));
  }
}

TEST(Masked, NoiseMethodsGiveMaskedCategoriesNoGradient) {
  support::Random random(7);
  at::Tensor logits = random.normal({20, 6}), g = random.normal({20, 6});
  logits.select(1, 3).fill_(-kInfinity);
  g.select(1, 3).fill_(kNan);
  for (const Estimator& e : support::sweep()) {
    const Outcome run = support::run(logits, e, {.key = kKey}, g);
    support::expect_same_bits(run.grad.select(1, 3), at::zeros({20}, at::kDouble), to_string(e));
    EXPECT_TRUE(run.grad.isfinite().all().item<bool>()) << to_string(e) << run.grad;
    support::expect_same_bits(run.drawn.onehot.select(1, 3), at::zeros({20}, at::kDouble),
                              to_string(e));
  }
}

TEST(Masked, ARowWithoutCategoriesIsSkipped) {
  at::Tensor logits = support::Random(8).normal({3, 4});
  logits[1].fill_(-kInfinity);
  for (const Estimator& e : support::sweep()) {
    const Outcome run =
        support::run(logits, e, {.key = kKey}, at::ones({3, 4}, at::kDouble).cumsum(1));
    EXPECT_EQ(run.drawn.index[1].item<int64_t>(), -1) << to_string(e);
    support::expect_same_bits(run.drawn.onehot[1], at::zeros({4}, at::kDouble), to_string(e));
    support::expect_same_bits(run.grad[1], at::zeros({4}, at::kDouble), to_string(e));
    EXPECT_TRUE(run.grad.isfinite().all().item<bool>()) << to_string(e);
  }
}

TEST(Masked, AGivenMaskedIndexIsInvalid) {
  at::Tensor logits = support::Random(9).normal({3, 4});
  logits[1][2].fill_(-kInfinity);
  for (const Estimator& e : support::sweep())
    expect_invalid_middle_row(logits, e, {.index = support::index_tensor({1, 2, 3})}, to_string(e));
}

}  // namespace
