#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/layouts.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/statistics.h"
#include "support/tolerance.h"

// The binary forms against the table of the specification, in both codings.
namespace {

using gradthru::BinaryOptions;
using gradthru::Coding;
using gradthru::Estimator;
using gradthru::Key;
using gradthru::sample_binary;
using gradthru::to_string;
using support::BinaryOutcome;
using support::Row;

constexpr Key kKey{.seed = 1618, .offset = 33, .row0 = 9};
const std::vector<at::ScalarType> kDtypes = {at::kDouble, at::kFloat};
const std::vector<Coding> kCodings = {Coding::zero_one, Coding::plus_minus_one};

/// b of a value: 1 for the upper value of the coding.
std::vector<int> bits_of(const at::Tensor& value) {
  std::vector<int> bits;
  for (double y : support::row_of(value)) bits.push_back(y > 0.5 ? 1 : 0);
  return bits;
}

double value_of(double b, Coding coding) {
  return coding == Coding::zero_one ? b : 2 * b - 1;
}

reference::Noise noise_of(const Key& key, size_t element, bool given) {
  return reference::element_noise(key.seed, key.offset, static_cast<uint64_t>(key.row0) + element,
                                  given);
}

/// The value that the reference draws, relaxed if the estimator is soft.
Row expected_values(const Row& logits, const Estimator& e, Coding coding, const Key& key) {
  const reference::Settings settings = support::settings_of(e);
  Row values;
  for (size_t n = 0; n < logits.size(); ++n) {
    const reference::Noise noise = noise_of(key, n, false);
    const double bit = reference::sample_bit(logits[n], support::sampling_tau(e), noise.logistic());
    const double soft =
        reference::sigmoid(reference::gumbel_softmax_binary_argument(logits[n], settings, noise));
    values.push_back(value_of(e.hard ? bit : soft, coding));
  }
  return values;
}

Row expected_grads(const Row& logits, const std::vector<int>& bits, const Row& g,
                   const Estimator& e, Coding coding, const Key& key, bool given) {
  Row grads;
  for (size_t n = 0; n < logits.size(); ++n) {
    const double grad = support::reference_of(e.method).binary(
        logits[n], bits[n], g[n], support::settings_of(e), noise_of(key, n, given));
    grads.push_back(coding == Coding::zero_one ? grad : 2 * grad);
  }
  return grads;
}

/// In the coding ±1 the gradients are twice as large.
double tolerance(at::ScalarType dtype, const at::Tensor& g, const Estimator& e) {
  return 2 * support::gradient_tolerance(dtype, support::max_abs(g), e, 1);
}

class Binary : public testing::TestWithParam<Estimator> {};

TEST_P(Binary, DrawsAndGradientsEqualTheTable) {
  support::Random random(1);
  const Estimator& e = GetParam();
  for (at::ScalarType dtype : kDtypes)
    for (Coding coding : kCodings) {
      const at::Tensor logits = random.normal({8, 50}, 2, dtype),
                       g = random.normal({8, 50}, 1, dtype);
      const BinaryOutcome run = support::run_binary(logits, e, {.coding = coding, .key = kKey}, g);
      const Row rows = support::row_of(logits);
      const Row values = expected_values(rows, e, coding, kKey);
      EXPECT_EQ(run.value.scalar_type(), dtype);
      EXPECT_EQ(run.value.sizes(), logits.sizes());
      support::expect_near(run.value.reshape({-1}), support::tensor_of(values),
                           e.hard ? 0 : tolerance(dtype, at::ones({1}), e), "value");
      const Row grads = expected_grads(rows, bits_of(support::tensor_of(values)),
                                       support::row_of(g), e, coding, kKey, false);
      support::expect_near(run.grad.reshape({-1}), support::tensor_of(grads),
                           tolerance(dtype, g, e), "grad");
    }
}

TEST_P(Binary, GivenValuesReplaceTheDraw) {
  support::Random random(2);
  const Estimator& e = GetParam();
  for (at::ScalarType dtype : kDtypes)
    for (Coding coding : kCodings) {
      const at::Tensor logits = random.normal({40}, 2, dtype), g = random.normal({40}, 1, dtype);
      const at::Tensor bits = random.integers({40}, 0, 1).to(dtype);
      const at::Tensor given = coding == Coding::zero_one ? bits : 2 * bits - 1;
      const BinaryOptions replay = {.coding = coding, .given = given, .key = kKey};
      const BinaryOutcome run = support::run_binary(logits, e, replay, g);
      const Row grads = expected_grads(support::row_of(logits), bits_of(given), support::row_of(g),
                                       e, coding, kKey, true);
      support::expect_near(run.grad, support::tensor_of(grads), tolerance(dtype, g, e), "grad");
      support::expect_near(e.hard ? run.value : given, given, 0, "value");
    }
}

TEST_P(Binary, SamplesAddUpAtShiftedOffsets) {
  support::Random random(3);
  const Estimator& e = GetParam();
  constexpr int64_t kSamples = 4;
  const at::Tensor logits = random.normal({5, 6}, 2), g = random.normal({kSamples, 5, 6});
  const BinaryOutcome all = support::run_binary(logits, e, {.samples = kSamples, .key = kKey}, g);
  EXPECT_EQ(all.value.sizes(), g.sizes());
  at::Tensor sum = at::zeros_like(logits);
  for (int64_t s = 0; s < kSamples; ++s) {
    Key key = kKey;
    key.take(static_cast<uint64_t>(s) * support::offsets_of(e));
    const BinaryOutcome one = support::run_binary(logits, e, {.key = key}, g[s]);
    support::expect_same_bits(all.value[s], one.value, to_string(e));
    sum += one.grad;
  }
  support::expect_near(all.grad, sum, kSamples * tolerance(at::kDouble, g, e), to_string(e));
}

TEST_P(Binary, ElementsMapToRowsAndColumnsAcross32Bits) {
  support::Random random(4);
  const Estimator& e = GetParam();
  const Key key{.seed = ~uint64_t{0}, .offset = 3, .row0 = (int64_t{1} << 32) - 5};
  const at::Tensor logits = random.normal({11}), g = random.normal({11});
  const BinaryOutcome run = support::run_binary(logits, e, {.key = key}, g);
  const Row rows = support::row_of(logits);
  const Row values = expected_values(rows, e, Coding::zero_one, key);
  support::expect_near(run.value, support::tensor_of(values), 1e-12, "value");
  const Row grads = expected_grads(rows, bits_of(support::tensor_of(values)), support::row_of(g), e,
                                   Coding::zero_one, key, false);
  support::expect_near(run.grad, support::tensor_of(grads), tolerance(at::kDouble, g, e), "grad");
}

TEST_P(Binary, LayoutsAndPiecesDoNotMatter) {
  support::Random random(5);
  const Estimator& e = GetParam();
  for (support::Layout layout : support::kLayouts) {
    const at::Tensor logits = support::arranged(random.normal({12, 7}, 2, at::kFloat), layout, 0);
    const at::Tensor g = support::arranged(random.normal({12, 7}, 1, at::kFloat), layout, 1);
    const BinaryOutcome strided = support::run_binary(logits, e, {.key = kKey}, g);
    const BinaryOutcome whole =
        support::run_binary(logits.contiguous(), e, {.key = kKey}, g.contiguous());
    support::expect_same_bits(strided.value, whole.value, support::name_of(layout));
    support::expect_same_bits(strided.grad, whole.grad, support::name_of(layout));
    const Key later{kKey.seed, kKey.offset, kKey.row0 + 5 * 7};
    const BinaryOutcome piece =
        support::run_binary(logits.slice(0, 5, 9), e, {.key = later}, g.slice(0, 5, 9));
    support::expect_same_bits(piece.value, whole.value.slice(0, 5, 9), "piece");
    support::expect_same_bits(piece.grad, whole.grad.slice(0, 5, 9), "piece");
  }
}

TEST_P(Binary, InfiniteLogitsAndThoseThatOverflowStayFinite) {
  const Estimator& e = GetParam();
  for (at::ScalarType dtype : kDtypes) {
    const at::Tensor largest =
        support::tensor_of({1, -1}).to(dtype) * (dtype == at::kHalf     ? 65504.0
                                                 : dtype == at::kDouble ? 1e308
                                                                        : 3e38);
    const at::Tensor infinite = largest / at::zeros({}, largest.options());
    const at::Tensor logits = at::cat({infinite, largest});
    const BinaryOutcome drawn =
        support::run_binary(logits, e, {.key = kKey}, at::ones_like(logits));
    EXPECT_EQ(bits_of(drawn.value), (std::vector<int>{1, 0, 1, 0}));
    EXPECT_TRUE(drawn.grad.isfinite().all().item<bool>()) << dtype << drawn.grad;
    const BinaryOptions replay = {.given = drawn.value, .key = kKey};
    const BinaryOutcome given = support::run_binary(logits, e, replay, at::ones_like(logits));
    EXPECT_TRUE(given.grad.isfinite().all().item<bool>()) << dtype << given.grad;
  }
}

TEST_P(Binary, SaturatedLogitsStayFinite) {
  const Estimator& e = GetParam();
  const at::Tensor logits = support::tensor_of({800, -800, 800, -800, 1e4, -1e4, 0, -0.0});
  const at::Tensor given = support::tensor_of({1, 1, 0, 0, 0, 1, 1, 0});
  const at::Tensor g = support::tensor_of({1, -2, 3, .5, 1, 2, 3, 4});
  for (at::ScalarType dtype : kDtypes) {
    const BinaryOutcome drawn =
        support::run_binary(logits.to(dtype), e, {.key = kKey}, g.to(dtype));
    EXPECT_TRUE(drawn.grad.isfinite().all().item<bool>()) << drawn.grad;
    EXPECT_EQ(bits_of(drawn.value.slice(0, 0, 6)), (std::vector<int>{1, 0, 1, 0, 1, 0}));
    const BinaryOptions replay = {.given = given.to(dtype), .key = kKey};
    const BinaryOutcome run = support::run_binary(logits.to(dtype), e, replay, g.to(dtype));
    const Row grads = expected_grads(support::row_of(logits), bits_of(given), support::row_of(g), e,
                                     Coding::zero_one, kKey, true);
    support::expect_near(run.grad, support::tensor_of(grads), tolerance(dtype, g, e), "grad");
  }
}

TEST_P(Binary, NanSpoilsItsElementOnly) {
  const Estimator& e = GetParam();
  at::Tensor logits = support::Random(6).normal({9});
  logits[4].fill_(std::numeric_limits<double>::quiet_NaN());
  const BinaryOutcome run =
      support::run_binary(logits, e, {.key = kKey}, at::ones({9}, at::kDouble));
  const at::Tensor only_that = at::arange(9) == 4;
  support::expect_same_bits(run.value.isnan(), only_that, to_string(e));
  support::expect_same_bits(run.grad.isnan(), only_that, to_string(e));
}

INSTANTIATE_TEST_SUITE_P(Sweep, Binary, testing::ValuesIn(support::sweep()),
                         [](const auto& tested) { return support::test_name(tested.param); });

/// The first component of the categorical gradient at logits [a, 0], g = [g, 0].
at::Tensor pair_gradient(const at::Tensor& a, const at::Tensor& bits, const at::Tensor& g,
                         const Estimator& e, const Key& key) {
  const at::Tensor zero = at::zeros_like(a);
  const gradthru::SampleOptions replay = {.index = 1 - bits.to(at::kLong), .key = key};
  return support::run(at::stack({a, zero}, 1), e, replay, at::stack({g, zero}, 1))
      .grad.select(1, 0);
}

TEST(Pair, BinaryIsTheRuleAtTwoCategories) {
  support::Random random(7);
  const at::Tensor a = random.normal({200}, 2), g = random.normal({200});
  const at::Tensor bits = random.integers({200}, 0, 1).to(at::kDouble);
  for (const Estimator& e : support::discrete_only_sweep()) {
    const at::Tensor expected = pair_gradient(a, bits, g, e, kKey);
    const BinaryOptions zero_one = {.given = bits, .key = kKey};
    const BinaryOptions plus_minus = {
        .coding = Coding::plus_minus_one, .given = 2 * bits - 1, .key = kKey};
    support::expect_near(support::run_binary(a, e, zero_one, g).grad, expected,
                         1e-12 * support::max_abs(g), to_string(e));
    support::expect_near(support::run_binary(a, e, plus_minus, g).grad, 2 * expected,
                         2e-12 * support::max_abs(g), to_string(e));
  }
}

TEST(Pair, AlsoWhereTheTwoLogitsTie) {
  const at::Tensor a = support::tensor_of({0, 0, -0.0, -0.0});
  const at::Tensor bits = support::tensor_of({0, 1, 0, 1}), g = support::tensor_of({1, 2, 3, 4});
  for (const Estimator& e : support::discrete_only_sweep())
    support::expect_near(support::run_binary(a, e, {.given = bits, .key = kKey}, g).grad,
                         pair_gradient(a, bits, g, e, kKey), 4e-12, to_string(e));
}

std::vector<Estimator> noisy_sweep() {
  std::vector<Estimator> noisy = support::sweep();
  std::erase_if(noisy, [](const Estimator& e) {
    return support::draw_of(e.method) == support::Draw::uniform || !e.hard;
  });
  return noisy;
}

TEST(Pair, NoisyRulesHaveTheLawOfTwoCategories) {  // the noise differs, its law given b does not
  constexpr int64_t kDraws = 40000;
  const at::Tensor ones = at::ones({kDraws}, at::kDouble);
  for (const Estimator& e : noisy_sweep())
    for (double logit : {0.8, -1.7})
      for (int bit : {0, 1}) {
        const at::Tensor a = logit * ones, bits = bit * ones;
        const at::Tensor pair = pair_gradient(a, bits, ones, e, Key{.seed = 1});
        const BinaryOptions options = {.given = bits, .key = Key{.seed = 2}};
        const at::Tensor binary = support::run_binary(a, e, options, ones).grad;
        for (int power : {1, 2})
          EXPECT_LE(
              std::abs(support::z_score(support::moments(support::row_of(pair.pow(power))),
                                        support::moments(support::row_of(binary.pow(power))))),
              support::kLargestZ)
              << to_string(e) << logit << bit;
      }
}

TEST(Law, ProbabilityOfOneIsTheSigmoid) {
  const std::vector<Estimator> estimators = {
      gradthru::st({.tau_f = 0.5}), gradthru::gumbel_softmax(),
      gradthru::gumbel_softmax({.tau_f = 2}), gradthru::gumbel_rao({.tau_f = 2})};
  for (const Estimator& e : estimators)
    for (double a : {-6.0, -0.4, 0.0, 1.3})
      for (at::ScalarType dtype : kDtypes) {
        const at::Tensor value = sample_binary(at::full({200000}, a, dtype), e, {.key = kKey});
        const double p = reference::sigmoid(a / support::sampling_tau(e));
        EXPECT_LE(std::abs(support::binomial_z(value.sum().item<int64_t>(), 200000, p)),
                  support::kLargestZ)
            << to_string(e) << a;
      }
}

TEST(Law, KnownLogistics) {  // of the cells (0, 0) and (7, 2) of the specification
  const Key key{.seed = 12345, .offset = 3};
  const auto draw = [&](double a, const Key& at_key) {
    return sample_binary(at::full({1}, a, at::kDouble), gradthru::st(), {.key = at_key})
        .item<double>();
  };
  EXPECT_EQ(draw(-1.566123460621 + 1e-11, key), 1);
  EXPECT_EQ(draw(-1.566123460621 - 1e-11, key), 0);
  const Key seventh{.seed = 12345, .offset = 3, .row0 = 7 * (int64_t{1} << 32) + 2};
  EXPECT_EQ(draw(.378920806672 + 1e-11, seventh), 1);
  EXPECT_EQ(draw(.378920806672 - 1e-11, seventh), 0);
}

/// The deepest logistics of 2^26 elements must decide by a hair: what a uniform of 24 bits, or one
/// without its low word in the outer cells, gets wrong.
TEST(Law, TailsKeepTheirDepth) {
  std::vector<uint64_t> deep;
  for (uint64_t element = 0; element < (uint64_t{1} << 26); element += 4) {
    const reference::Block words = reference::words(kKey.seed, kKey.offset, 0, element / 4, 0);
    for (uint64_t i = 0; i < 4; ++i)
      if (words[i] < 1024 || words[i] > ~0u - 1024) deep.push_back(element + i);
  }
  EXPECT_GE(deep.size(), 10u);
  for (uint64_t element : deep) {
    const Key key{kKey.seed, kKey.offset, static_cast<int64_t>(element)};
    const double logistic =
        reference::logistic_of(reference::cell(key.seed, key.offset, 0, element));
    for (at::ScalarType dtype : kDtypes)
      for (double lead : {-2e-5, 2e-5}) {
        const at::Tensor logits = at::full({1}, lead - logistic, dtype);
        EXPECT_EQ(sample_binary(logits, gradthru::st(), {.key = key}).item<double>(), lead > 0);
      }
  }
}

TEST(Options, OffsetsUsed) {
  const at::Tensor given = at::ones({1});
  EXPECT_EQ(gradthru::binary_offsets_used(gradthru::st(), BinaryOptions{}), 1u);
  EXPECT_EQ(gradthru::binary_offsets_used(gradthru::st(), BinaryOptions{.samples = 5}), 5u);
  EXPECT_EQ(
      gradthru::binary_offsets_used(gradthru::gumbel_softmax(), BinaryOptions{.given = given}), 2u);
  EXPECT_EQ(gradthru::binary_offsets_used(gradthru::gumbel_rao(3), BinaryOptions{.samples = 2}),
            8u);
}

TEST(Options, ColdForwardIsTheSign) {
  // At a = 0 the pair [a, 0] ties; the lowest index is category 0, which is b = 1.
  const at::Tensor logits = support::tensor_of({-2, 3, 0, -1e-9, 1e-9});
  const Estimator e = gradthru::st({.tau_f = 0, .tau_b = 0.7});
  EXPECT_EQ(bits_of(sample_binary(logits, e, {.key = kKey})), (std::vector<int>{0, 1, 1, 0, 1}));
}

TEST(Options, ColdForwardIsStillMixed) {
  const Estimator e = gradthru::st({.tau_f = 0, .tau_b = 0.7});
  constexpr int64_t kDraws = 100000;
  for (const auto type : {at::kFloat, at::kDouble}) {
    const at::Tensor logits = at::ones({kDraws}, type);
    const double mean =
        sample_binary(logits, e, {.uniform_mix = 0.5, .key = kKey}).mean().item<double>();
    EXPECT_LE(std::abs(mean - 0.75), 5 * std::sqrt(0.75 * 0.25 / kDraws)) << type;
  }
}

TEST(Options, EmptyTensor) {
  for (const Estimator& e : support::sweep()) {
    const at::Tensor empty = at::empty({3, 0}, at::kFloat);
    EXPECT_EQ(support::run_binary(empty, e, {.key = kKey}, empty).grad.sizes(), empty.sizes());
  }
}

TEST(Options, WrongDtypeOrScheduleIsAnError) {
  EXPECT_THROW(sample_binary(at::zeros({3}, at::kLong), gradthru::st(), {.key = kKey}), c10::Error);
  EXPECT_THROW(
      sample_binary(at::zeros({3}), gradthru::st({.tau_b = gradthru::Temperature::linear(1, 0.5)}),
                    {.key = kKey}),
      gradthru::InvalidInput);
}

}  // namespace
