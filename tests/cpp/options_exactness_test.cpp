#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/enumeration.h"
#include "support/option_reference.h"
#include "support/statistics.h"
#include "support/tolerance.h"

// What the options promise beyond the reference: exactness under a mixture, a mask that equals
// deleting categories, the worked example, and errors in words.
namespace {

using gradthru::Estimator;
using gradthru::Exact;
using gradthru::InvalidInput;
using gradthru::Key;
using gradthru::UniformMix;
using support::Row;

constexpr Key kKey{.seed = 8, .offset = 2};

std::vector<Estimator> mixing_sweep() {
  std::vector<Estimator> some;
  for (const Estimator& e : support::sweep()) {
    const UniformMix taken = gradthru::about(e.method).uniform_mix;
    if (taken == UniformMix::taken || (taken == UniformMix::tied && e.tau_f == e.tau_b))
      some.push_back(e);
  }
  return some;
}

/// The library's gradient for each outcome, weighted with the law that is sampled.
Row mean_under_mixture(const Row& logits, const Estimator& e, double mix,
                       const support::GradientTable& table) {
  const auto categories = static_cast<int64_t>(logits.size());
  const at::Tensor repeated = support::tensor_of(logits).unsqueeze(0).repeat({categories, 1});
  const gradthru::SampleOptions replay = {
      .index = at::arange(categories), .uniform_mix = mix, .key = kKey};
  const std::vector<Row> grads =
      support::rows_of(support::run(repeated, e, replay, support::matrix_from(table)).grad);
  const Row law = reference::mixed_law(logits, e.tau_f.start, mix);
  Row mean(logits.size(), 0.0);
  for (size_t x = 0; x < law.size(); ++x) mean = reference::plus(mean, grads[x], law[x]);
  return mean;
}

TEST(UniformMix, KeepsTheClassOfExactness) {
  support::Random random(1);
  for (const Estimator& e : mixing_sweep())
    for (const int degree : {1, 2}) {
      if (gradthru::traits(e).exact < (degree == 1 ? Exact::linear : Exact::quadratic)) continue;
      for (const double mix : {0.05, 0.5, 0.9})
        for (const int64_t categories : {2, 3, 6}) {
          const Row logits = random.normals(categories, support::kLogitScale);
          const auto f =
              support::random_polynomial(random, degree, static_cast<size_t>(categories));
          const Row mean = mean_under_mixture(logits, e, mix, f.gradients);
          const Row exact =
              reference::scaled(support::exact_gradient(logits, e.tau_f.start, f.values), 1 - mix);
          EXPECT_LE(support::max_abs_difference(mean, exact) / f.largest, 1e-12)
              << to_string(e) << " mix " << mix << " degree " << degree;
        }
    }
}

TEST(UniformMix, HasTheNumbersOfTheWorkedExample) {
  const at::Tensor logits = support::matrix_from({{0.5, -1, 0, 1.5}});
  const gradthru::SampleOptions replay = {
      .index = support::index_tensor({2}), .uniform_mix = 0.1, .key = kKey};
  const at::Tensor grad =
      support::run(logits, gradthru::zgr(), replay, support::matrix_from({{1, -2, 0.5, 3}})).grad;
  const Row expected = {0.025340821, -0.060579101, -0.571570565, 0.606808845};
  support::expect_near(grad[0], support::tensor_of(expected), 1e-9, "library");
  const Row by_hand =
      reference::mixed_rule(&reference::zgr, {0.5, -1, 0, 1.5}, 2, {1, -2, 0.5, 3}, {}, {}, 0.1);
  support::expect_near(support::tensor_of(by_hand), support::tensor_of(expected), 1e-9,
                       "reference");
}

TEST(UniformMix, ReachesCategoriesThatTheSoftmaxForgets) {
  const int64_t rows = 40000;
  const at::Tensor logits = support::tensor_of({0, -800, -800, 0}).unsqueeze(0).expand({rows, 4});
  for (const double tau_f : {1.0, 0.0}) {  // at 0 the first maximum has all the weight
    const Estimator e = gradthru::st({.tau_f = tau_f});
    const at::Tensor index = gradthru::sample(logits, e, {.uniform_mix = 0.4, .key = kKey}).index;
    const Row law = reference::mixed_law({0, -800, -800, 0}, tau_f, 0.4);
    for (int64_t k = 0; k < 4; ++k) {
      const double p = law[static_cast<size_t>(k)];
      const double hits = static_cast<double>(index.eq(k).sum().item<int64_t>());
      const double n = static_cast<double>(rows);
      EXPECT_LE(std::abs(hits - n * p) / std::sqrt(n * p * (1 - p)), 5) << "category " << k;
    }
  }
}

TEST(Mask, EqualsDeletingTheCategories) {
  support::Random random(2);
  const at::Tensor keep = support::index_tensor({0, 2, 3, 5}), index = at::arange(4);
  const at::Tensor mask = at::zeros({6}, at::kBool).index_fill(0, keep, at::scalar_tensor(true));
  for (const Estimator& e : support::discrete_only_sweep()) {
    const at::Tensor few = random.normal({4, 4}), few_g = random.normal({4, 4});
    const at::Tensor many = at::full({4, 6}, 1e3, at::kDouble).index_copy(1, keep, few);
    const at::Tensor many_g =
        at::full({4, 6}, support::kNan, at::kDouble).index_copy(1, keep, few_g);
    const Estimator all = support::for_categories(e, 6);
    Estimator some = e;
    if (!all.values.empty()) some.values = support::picked(all.values, {0, 2, 3, 5});
    const at::Tensor small = support::run(few, some, {.index = index, .key = kKey}, few_g).grad;
    const gradthru::SampleOptions replay = {
        .index = keep.index_select(0, index), .mask = mask, .key = kKey};
    const at::Tensor large = support::run(many, all, replay, many_g).grad;
    support::expect_near(large.index_select(1, keep), small,
                         1e-14 * std::max(1.0, support::max_abs(small)), to_string(e));
  }
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::TypeError& error) {
    return std::string("TypeError: ") + error.what_without_backtrace();
  } catch (const c10::ValueError& error) {
    return std::string("ValueError: ") + error.what_without_backtrace();
  }
  return "no error";
}

TEST(Refusal, IsTypedAndSaysWhatWasGiven) {
  const at::Tensor logits = at::zeros({3, 4});
  const auto message = [&](const Estimator& e, const gradthru::SampleOptions& options) {
    return error_of([&] { gradthru::sample(logits, e, options); });
  };
  using testing::StartsWith;
  const Estimator st = gradthru::st();
  EXPECT_THAT(message(st, {.mask = at::ones({4})}),
              StartsWith("TypeError: sample: mask must be bool, got Float"));
  EXPECT_THAT(message(st, {.mask = at::ones({3}, at::kBool)}),
              StartsWith("ValueError: sample: mask must be broadcastable to the logits [3, 4], got "
                         "[3]"));
  EXPECT_THAT(message(st, {.mask = at::ones({2, 3, 4}, at::kBool)}),
              testing::HasSubstr("mask must be broadcastable"));
  EXPECT_THAT(message(st, {.tau_f = at::ones({3}, at::kLong)}),
              StartsWith("TypeError: sample: tau_f must be a floating-point tensor, got Long"));
  EXPECT_THAT(message(st, {.tau_b = at::ones({4})}),
              StartsWith("ValueError: sample: tau_b must be broadcastable to the rows [3], got "
                         "[4]"));
  EXPECT_THAT(message(gradthru::zgr(), {.tau_b = at::ones({3})}),
              StartsWith("ValueError: sample: zgr has no parameter tau_b, got a tensor for it"));
  for (const double mix : {-0.1, 1.0, support::kNan, support::kInfinity})
    EXPECT_THAT(message(st, {.uniform_mix = mix}),
                StartsWith("ValueError: sample: uniform_mix must be in [0, 1), got "));
  EXPECT_THAT(message(gradthru::gst(), {.uniform_mix = 0.5}),
              StartsWith("ValueError: sample: uniform_mix must be 0 for gst, got 0.5; the methods "
                         "that take it: st, darn, zgr, st_zgr, reinmax (tau_b = tau_f)"));
  const Estimator relaxed = gradthru::gumbel_softmax({.tau = 1, .hard = false});
  EXPECT_THAT(message(relaxed, {.tau_f = at::ones({3}), .tau_b = at::ones({3})}),
              StartsWith("ValueError: sample: hard=false needs tau_f = tau_b, got two tensors; "
                         "give the same tensor for both"));
}

}  // namespace
