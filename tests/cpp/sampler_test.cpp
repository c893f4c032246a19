#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "gradthru/error.h"
#include "support/draws.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/layouts.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/tolerance.h"

// Which index is drawn for which row: through public calls, against the reference's random numbers.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using gradthru::sample;
using gradthru::Sample;
using gradthru::to_string;
using support::Row;

constexpr Key kKey{.seed = 12345, .offset = 3};

int64_t count_differences(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  EXPECT_EQ(a.size(), b.size());
  int64_t differences = 0;
  for (size_t n = 0; n < a.size(); ++n) differences += a[n] != b[n];
  return differences;
}

int64_t count_differences(const at::Tensor& logits, const Estimator& e, const Key& key) {
  return count_differences(support::indices_of(sample(logits, e, {.key = key}).index),
                           support::reference_indices(support::rows_of(logits), e, key));
}

/// The largest number of differing rows that the specification allows in float32.
int64_t allowed_in_float(int64_t rows) {
  return rows / 100000;
}

TEST(Index, EqualsTheReferenceInDouble) {
  support::Random random(1);
  for (const Estimator& e : support::drawing_estimators())
    for (int64_t categories : {1, 2, 3, 8, 17, 100, 1025}) {
      const at::Tensor logits = random.normal({2000000 / (1000 + 100 * categories), categories}, 2);
      EXPECT_EQ(count_differences(logits, e, kKey), 0) << to_string(e) << " K=" << categories;
    }
}

TEST(Index, EqualsTheReferenceInFloatUpToRounding) {
  support::Random random(2);
  for (const Estimator& e : support::drawing_estimators())
    for (int64_t categories : {2, 8, 40}) {
      const int64_t rows = categories == 40 ? 20000 : 40000;
      const at::Tensor logits = random.normal({rows, categories}, 2, at::kFloat);
      EXPECT_LE(count_differences(logits, e, kKey), allowed_in_float(rows))
          << to_string(e) << " K=" << categories;
    }
}

TEST(Index, ManyCategoriesHaveNoBiasOfTheRunningSum) {
  support::Random random(3);
  const at::Tensor logits = random.normal({20, 100000});
  EXPECT_EQ(count_differences(logits, gradthru::st(), kKey), 0);
  const at::Tensor flat = at::zeros({200, 1 << 17}, at::kFloat);
  EXPECT_EQ(count_differences(flat, gradthru::st(), kKey), 0);
}

TEST(Index, KnownUniform) {  // u of the cell (row 0, column 0) is .827230274520
  const auto index_at = [](double first_share) {
    const at::Tensor logits =
        support::matrix_from({{std::log(first_share), std::log1p(-first_share)}});
    return sample(logits, gradthru::st(), {.key = kKey}).index.item<int64_t>();
  };
  EXPECT_EQ(index_at(.827230274520 - 1e-11), 1);
  EXPECT_EQ(index_at(.827230274520 + 1e-11), 0);
}

TEST(Index, KnownGumbels) {  // cells (0, 0), (1, 1), (7, 1) of the specification
  const double known_first = -.562922109014;
  const double second = reference::gumbel_of(reference::cell(12345, 3, 0, 1));
  const auto index_at = [&](double lead, double unit_tau) {
    const at::Tensor logits = support::matrix_from({{unit_tau * (second - known_first + lead), 0}});
    const Estimator e = gradthru::gumbel_softmax({.tau_f = unit_tau});
    return sample(logits, e, {.key = kKey}).index.item<int64_t>();
  };
  for (double tau : {1.0, 2.0}) {
    EXPECT_EQ(index_at(1e-11, tau), 0);
    EXPECT_EQ(index_at(-1e-11, tau), 1);
  }
}

TEST(Index, RowsBeyond32Bits) {
  support::Random random(4);
  const at::Tensor logits = random.normal({2000, 5}, 2);
  for (int64_t row0 : {int64_t{1} << 31, (int64_t{1} << 32) - 1000, (int64_t{1} << 47) + 5})
    for (uint64_t offset : {uint64_t{3}, (uint64_t{1} << 32) - 1, (uint64_t{1} << 46) + 7})
      for (uint64_t seed : {uint64_t{1} << 63, ~uint64_t{0}})
        for (const Estimator& e : support::drawing_estimators()) {
          const Key key{.seed = seed, .offset = offset, .row0 = row0};
          EXPECT_EQ(count_differences(logits.slice(0, 0, 40), e, key), 0) << to_string(e);
        }
}

TEST(Index, DoesNotDependOnLayoutOrDim) {
  support::Random random(5);
  for (const support::Shape& shape : support::shapes(9))
    for (support::Layout layout : support::kLayouts)
      for (at::ScalarType dtype : {at::kDouble, at::kFloat})
        for (const Estimator& e : support::drawing_estimators()) {
          const at::Tensor logits =
              support::arranged(random.normal(shape.sizes, 2, dtype), layout, shape.row_dim);
          const Sample z = sample(logits, e, {.dim = shape.dim, .key = kKey});
          const std::string what = to_string(e) + shape.name + support::name_of(layout);
          const auto rows = support::rows_of(logits, shape.dim);
          EXPECT_EQ(support::indices_of(z.index), support::reference_indices(rows, e, kKey))
              << what;
          support::expect_same_bits(z.onehot.argmax(shape.dim), z.index, what);
        }
}

// 7 categories stand in lanes, 100 along the vector, double ones one after the other.
TEST(Index, AloneIsThatOfSample) {
  support::Random random(15);
  for (at::ScalarType dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16})
    for (int64_t K : {1, 7, 100})
      for (const Estimator& e : support::drawing_estimators()) {
        at::Tensor logits = random.normal({3, K, 11}, 2, dtype);
        logits.select(0, 1).select(1, 4).fill_(std::numeric_limits<double>::quiet_NaN());
        const at::Tensor mask = random.normal({K, 11}, 1).gt(-0.5);
        gradthru::SampleOptions options{.dim = 1, .mask = mask, .key = kKey};
        const std::string what = to_string(e) + " K=" + std::to_string(K) + c10::toString(dtype);
        for (const std::optional<int64_t> samples : {std::optional<int64_t>(), {3}}) {
          options.samples = samples;
          support::expect_same_bits(sample_index(logits, e, options),
                                    sample(logits, e, options).index, what);
        }
        options.check = true;
        EXPECT_THROW(sample_index(logits, e, options), gradthru::InvalidInput) << what;
      }
}

TEST(Index, PiecesEqualTheWhole) {
  support::Random random(6);
  const at::Tensor logits = random.normal({10, 7}, 2);
  for (const Estimator& e : support::drawing_estimators()) {
    const Sample whole = sample(logits, e, {.key = kKey});
    const Key later{.seed = kKey.seed, .offset = kKey.offset, .row0 = 4};
    const Sample first = sample(logits.slice(0, 0, 4), e, {.key = kKey});
    const Sample second = sample(logits.slice(0, 4, 10), e, {.key = later});
    support::expect_same_bits(at::cat({first.index, second.index}), whole.index, to_string(e));
  }
}

TEST(Samples, EqualSingleCallsAtShiftedOffsets) {
  support::Random random(7);
  const at::Tensor logits = random.normal({3, 6, 4}, 2);
  for (const Estimator& e : support::drawing_estimators()) {
    const Sample all = sample(logits, e, {.dim = 1, .samples = 5, .key = kKey});
    EXPECT_EQ(all.onehot.sizes(), (std::vector<int64_t>{5, 3, 6, 4}));
    EXPECT_EQ(all.index.sizes(), (std::vector<int64_t>{5, 3, 4}));
    for (int64_t s = 0; s < 5; ++s) {
      const uint64_t offset = kKey.offset + static_cast<uint64_t>(s) * support::offsets_of(e);
      const Sample one = sample(logits, e, {.dim = 1, .key = Key{kKey.seed, offset, 0}});
      support::expect_same_bits(all.index[s], one.index, to_string(e));
      support::expect_same_bits(all.onehot[s], one.onehot, to_string(e));
    }
  }
}

TEST(Samples, OffsetsUsed) {
  const Estimator rao = gradthru::gumbel_rao(3);
  const at::Tensor index = support::index_tensor({0});
  using Options = gradthru::SampleOptions;
  EXPECT_EQ(gradthru::offsets_used(gradthru::st()), 1u);
  EXPECT_EQ(gradthru::offsets_used(gradthru::st(), Options{.samples = 5}), 5u);
  EXPECT_EQ(gradthru::offsets_used(gradthru::gumbel_softmax()), 1u);
  EXPECT_EQ(gradthru::offsets_used(gradthru::gumbel_softmax(), Options{.index = index}), 2u);
  EXPECT_EQ(
      gradthru::offsets_used(gradthru::gumbel_softmax(), Options{.samples = 5, .index = index}),
      10u);
  EXPECT_EQ(gradthru::offsets_used(rao), 4u);
  EXPECT_EQ(gradthru::offsets_used(rao, Options{.samples = 5}), 20u);
}

TEST(Onehot, IsExactInTheDtypeOfTheLogits) {
  support::Random random(8);
  for (at::ScalarType dtype : {at::kDouble, at::kFloat})
    for (const Estimator& e : support::drawing_estimators()) {
      const Sample z = sample(random.normal({50, 7}, 2, dtype), e, {.key = kKey});
      EXPECT_EQ(z.onehot.scalar_type(), dtype) << to_string(e);
      EXPECT_EQ(z.index.scalar_type(), at::kLong) << to_string(e);
      support::expect_same_bits(z.onehot, at::one_hot(z.index, 7).to(dtype), to_string(e));
    }
}

TEST(Onehot, RelaxedSampleIsTheSurrogate) {
  support::Random random(9);
  for (at::ScalarType dtype : {at::kDouble, at::kFloat})
    for (const char* spec :
         {"gumbel_softmax(0.5, hard=false)", "gumbel_softmax(tau_f=0.7, tau_b=0.7, hard=false)"}) {
      const Estimator e = gradthru::parse_estimator(spec);
      const at::Tensor logits = random.normal({50, 7}, 2, dtype);
      const Sample z = sample(logits, e, {.key = kKey});
      std::vector<Row> expected;
      for (const Row& row : support::rows_of(logits))
        expected.push_back(reference::gumbel_softmax_surrogate(
            row, support::settings_of(e),
            reference::row_noise(kKey.seed, kKey.offset, expected.size())));
      support::expect_near(z.onehot, support::matrix_from(expected),
                           dtype == at::kDouble ? 1e-12 : 2e-5, spec);
      support::expect_same_bits(z.onehot.argmax(-1), z.index, spec);
    }
}

TEST(Given, IndexReplacesTheDraw) {
  support::Random random(10);
  const at::Tensor logits = random.normal({2, 5, 3}, 2);
  for (const Estimator& e : support::drawing_estimators()) {
    const at::Tensor index = random.integers({2, 3}, 0, 4);
    const Sample z = sample(logits, e, {.dim = 1, .index = index, .key = kKey});
    support::expect_same_bits(z.index, index, to_string(e));
    support::expect_same_bits(z.onehot, at::one_hot(index, 5).movedim(-1, 1).to(at::kDouble),
                              to_string(e));
  }
}

TEST(Given, IndexWithAndWithoutTheSampleDimension) {
  support::Random random(11);
  const at::Tensor logits = random.normal({6, 5}, 2);
  const at::Tensor shared = random.integers({6}, 0, 4), own = random.integers({3, 6}, 0, 4);
  for (const Estimator& e : support::drawing_estimators()) {
    const Sample a = sample(logits, e, {.samples = 3, .index = shared, .key = kKey});
    support::expect_same_bits(a.index, shared.expand({3, 6}), to_string(e));
    const Sample b = sample(logits, e, {.samples = 3, .index = own, .key = kKey});
    support::expect_same_bits(b.index, own, to_string(e));
    support::expect_same_bits(b.onehot, at::one_hot(own, 5).to(at::kDouble), to_string(e));
  }
}

TEST(Noise, ForwardTemperatureIsInertInScaledSumOnly) {
  support::Random random(12);
  const at::Tensor logits = random.normal({500, 6}, 2);
  const auto index_at = [&](const char* name, double tau_f, const char* noise) {
    const std::string spec =
        std::string(name) + "(tau_f=" + std::to_string(tau_f) + ", tau_b=0.5, noise=" + noise + ")";
    return sample(logits, gradthru::parse_estimator(spec), {.key = kKey}).index;
  };
  for (const char* name : {"gumbel_softmax", "gumbel_rao"})
    for (double tau_f : {0.1, 0.5, 3.0, 10.0}) {
      const at::Tensor plain = index_at(name, 1, "scaled_sum");
      support::expect_same_bits(index_at(name, tau_f, "scaled_sum"), plain, name);
      EXPECT_FALSE(at::equal(index_at(name, tau_f, "scaled_logits"), plain)) << name << tau_f;
    }
}

TEST(Key, TakeAdvancesTheOffset) {
  Key stream{.seed = 7, .offset = 2, .row0 = 1};
  EXPECT_EQ(stream.take(5), (Key{.seed = 7, .offset = 2, .row0 = 1}));
  EXPECT_EQ(stream, (Key{.seed = 7, .offset = 7, .row0 = 1}));
}

TEST(Key, IsOneDrawOfTheGenerator) {
  at::Generator generator = at::detail::createCPUGenerator(42);
  at::Generator copy = generator.clone();
  auto* engine = at::check_generator<at::CPUGeneratorImpl>(copy);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(gradthru::key_from(generator), (Key{.seed = engine->random64()}));
}

TEST(Key, SameGeneratorStateSameDraws) {
  const at::Tensor logits = at::zeros({100, 5}, at::kDouble);
  at::Generator generator = at::detail::createCPUGenerator(42);
  at::Generator copy = generator.clone();
  const Key key = gradthru::key_from(generator.clone());
  const at::Tensor index = sample(logits, gradthru::st(), {.generator = generator}).index;
  support::expect_same_bits(sample(logits, gradthru::st(), {.generator = copy}).index, index, "");
  support::expect_same_bits(sample(logits, gradthru::st(), {.key = key}).index, index, "");
  const at::Tensor next = sample(logits, gradthru::st(), {.generator = generator}).index;
  EXPECT_FALSE(at::equal(next, index));
}

TEST(Key, DefaultGeneratorOtherwise) {
  const at::Tensor logits = at::zeros({100, 5}, at::kDouble);
  at::manual_seed(9);
  const at::Tensor index = sample(logits, gradthru::st()).index;
  EXPECT_FALSE(at::equal(sample(logits, gradthru::st()).index, index));
  at::manual_seed(9);
  const Key key = gradthru::key_from();
  support::expect_same_bits(sample(logits, gradthru::st(), {.key = key}).index, index, "");
}

}  // namespace
