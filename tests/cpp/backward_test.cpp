#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/layouts.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/tolerance.h"

// Every backward against the slow reference, with the same index and the same noise.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using gradthru::SampleOptions;
using gradthru::to_string;
using support::Outcome;
using support::Row;

constexpr Key kKey{.seed = 314159, .offset = 26, .row0 = 5};
const std::vector<at::ScalarType> kDtypes = {at::kDouble, at::kFloat};
const std::vector<int64_t> kSizes = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 1000, 1025};

struct Expected {
  at::Tensor grad;  ///< [rows, K]
  double smallest_probability = 1;
};

/// The gradients of all rows, given the indices that were drawn.
Expected expected_gradients(const at::Tensor& logits, const at::Tensor& index, const at::Tensor& g,
                            const Estimator& e, int64_t dim, const Key& key, bool given) {
  const std::vector<Row> rows = support::rows_of(logits, dim), gs = support::rows_of(g, dim);
  const std::vector<int64_t> drawn = support::indices_of(index);
  std::vector<Row> grads;
  Expected expected;
  for (size_t n = 0; n < rows.size(); ++n) {
    grads.push_back(
        support::reference_grad(rows[n], drawn[n], gs[n], e, key, static_cast<int64_t>(n), given));
    const Row probs = reference::softmax(rows[n], support::sampling_tau(e));
    expected.smallest_probability =
        std::min(expected.smallest_probability, probs[static_cast<size_t>(drawn[n])]);
  }
  expected.grad = support::matrix_from(grads);
  return expected;
}

void expect_parity(const at::Tensor& logits, const at::Tensor& g, const Estimator& e,
                   SampleOptions options, const std::string& what) {
  options.key = kKey;
  const Outcome run = support::run(logits, e, options, g);
  const Expected expected = expected_gradients(logits, run.drawn.index, g, e, options.dim, kKey,
                                               options.index.has_value());
  EXPECT_EQ(run.grad.scalar_type(), logits.scalar_type()) << what;
  EXPECT_EQ(run.grad.sizes(), logits.sizes()) << what;
  support::expect_near(support::matrix_of(run.grad, options.dim), expected.grad,
                       support::gradient_tolerance(logits.scalar_type(), support::max_abs(g), e,
                                                   expected.smallest_probability),
                       what);
}

class Parity : public testing::TestWithParam<Estimator> {};

TEST_P(Parity, AllSizes) {
  support::Random random(1);
  for (int64_t categories : kSizes)
    for (at::ScalarType dtype : kDtypes) {
      if (categories > support::most_categories(GetParam())) continue;
      const at::Tensor logits = random.normal({4, categories}, support::kLogitScale, dtype);
      const at::Tensor g = random.normal({4, categories}, 1, dtype);
      expect_parity(logits, g, GetParam(), {}, "K=" + std::to_string(categories));
    }
}

TEST_P(Parity, AllShapesAndLayouts) {
  support::Random random(2);
  for (int64_t categories : {3, 9, 33})
    for (const support::Shape& shape : support::shapes(categories))
      for (support::Layout layout : support::kLayouts)
        for (support::Layout layout_of_g : {support::Layout::contiguous, layout})
          for (at::ScalarType dtype : kDtypes) {
            const at::Tensor logits = support::arranged(
                random.normal(shape.sizes, support::kLogitScale, dtype), layout, shape.row_dim);
            const at::Tensor g =
                support::arranged(random.normal(shape.sizes, 1, dtype), layout_of_g, shape.row_dim);
            expect_parity(logits, g, GetParam(), {.dim = shape.dim},
                          shape.name + " " + support::name_of(layout));
          }
}

TEST_P(Parity, GivenIndex) {
  support::Random random(3);
  for (at::ScalarType dtype : kDtypes) {
    const at::Tensor logits = random.normal({30, 6}, support::kLogitScale, dtype);
    const at::Tensor g = random.normal({30, 6}, 1, dtype);
    const SampleOptions replay = {.index = random.integers({30}, 0, 5)};
    expect_parity(logits, g, GetParam(), replay, "given");
  }
}

TEST_P(Parity, SamplesAddUp) {
  support::Random random(4);
  constexpr int64_t kSamples = 3;
  const Estimator& e = GetParam();
  for (at::ScalarType dtype : kDtypes) {
    const at::Tensor logits = random.normal({2, 5, 3}, support::kLogitScale, dtype);
    const at::Tensor g = random.normal({kSamples, 2, 5, 3}, 1, dtype);
    const Outcome run = support::run(logits, e, {.dim = 1, .samples = kSamples, .key = kKey}, g);
    at::Tensor sum = at::zeros({6, 5}, at::kDouble);
    double tolerance = 0;
    for (int64_t s = 0; s < kSamples; ++s) {
      Key key = kKey;
      key.take(static_cast<uint64_t>(s) * support::offsets_of(e));
      const Expected one = expected_gradients(logits, run.drawn.index[s], g[s], e, 1, key, false);
      sum += one.grad;
      tolerance +=
          support::gradient_tolerance(dtype, support::max_abs(g[s]), e, one.smallest_probability);
    }
    support::expect_near(support::matrix_of(run.grad, 1), sum, tolerance, to_string(e));
  }
}

TEST_P(Parity, SamplesOfAGivenIndexUseTheirOwnOffsets) {
  support::Random random(5);
  constexpr int64_t kSamples = 3;
  const Estimator& e = GetParam();
  const at::Tensor logits = random.normal({4, 5}, support::kLogitScale);
  const at::Tensor g = random.normal({kSamples, 4, 5}), index = random.integers({4}, 0, 4);
  const SampleOptions replay = {.samples = kSamples, .index = index, .key = kKey};
  const Outcome run = support::run(logits, e, replay, g);
  at::Tensor sum = at::zeros({4, 5}, at::kDouble);
  double tolerance = 0;
  for (int64_t s = 0; s < kSamples; ++s) {
    Key key = kKey;
    key.take(static_cast<uint64_t>(s) * support::offsets_of(e, true));
    const Expected one = expected_gradients(logits, index, g[s], e, -1, key, true);
    sum += one.grad;
    tolerance += support::gradient_tolerance(at::kDouble, support::max_abs(g[s]), e,
                                             one.smallest_probability);
  }
  support::expect_near(run.grad, sum, tolerance, to_string(e));
}

TEST_P(Parity, ManyRowsInPiecesEqualTheWhole) {  // bits do not depend on how the rows are split
  support::Random random(6);
  const Estimator& e = GetParam();
  const at::Tensor logits = random.normal({3000, 5}, support::kLogitScale, at::kFloat);
  const at::Tensor g = random.normal({3000, 5}, 1, at::kFloat);
  const Outcome whole = support::run(logits, e, {.key = kKey}, g);
  for (int64_t start : {0, 1, 1703}) {
    const Key key{kKey.seed, kKey.offset, kKey.row0 + start};
    const Outcome piece = support::run(logits.slice(0, start, start + 97), e, {.key = key},
                                       g.slice(0, start, start + 97));
    support::expect_same_bits(piece.grad, whole.grad.slice(0, start, start + 97), to_string(e));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, Parity, testing::ValuesIn(support::sweep()),
                         [](const auto& tested) { return support::test_name(tested.param); });

}  // namespace
