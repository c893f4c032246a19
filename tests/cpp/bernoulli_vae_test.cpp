#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiments/bernoulli-vae/data.h"
#include "experiments/bernoulli-vae/model.h"
#include "experiments/gradient_variance.h"
#include "experiments/importance_bound.h"
#include "experiments/vae/exact_bound.h"
#include "experiments/vae/importance.h"
#include "experiments/vae/model.h"
#include "gradthru/expectation.h"

namespace gradthru::experiments {
namespace {

using at::Tensor;
using bernoulli::Model;
using bernoulli::Variant;

void seed(uint64_t value) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(value);
}

/// Small enough to enumerate; weights so large that the reconstruction is far from linear.
Model toy(Variant variant = Variant::fixed) {
  seed(3);
  Model model({.latents = 3, .pixels = 4, .hidden = {5}, .variant = variant});
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.named_parameters()) {
    Tensor t = tensor;
    if (name == "prior.logits") {
      t.copy_(at::tensor({0.5, -1.0, 0.2}));
    } else {
      t.mul_(3);
    }
  }
  return model;
}

Tensor toy_images() {
  return at::tensor({1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0}, at::kFloat).view({2, 4});
}

std::vector<Tensor> gradients(const Model& model, const std::string& spec, int64_t samples) {
  for (Tensor t : tensors_of(model.named_parameters())) t.mutable_grad() = Tensor();
  const auto loss =
      model.loss(toy_images(), parse_estimator(spec), {.samples = samples, .key = {.seed = 11}});
  loss.nelbo().backward();
  std::vector<Tensor> result;
  for (const Tensor& t : tensors_of(model.named_parameters())) result.push_back(t.grad().clone());
  return result;
}

// --- estimators ----------------------------------------------------------------------------------

class UnbiasedTest : public ::testing::TestWithParam<const char*> {};

// The threshold of arm, the factor of disarm, the baseline of rloo: each decides sign or size.
TEST_P(UnbiasedTest, MeanGradientIsTheEnumeratedOne) {
  for (const Variant variant : {Variant::fixed, Variant::released}) {
    const Model model = toy(variant);
    const auto exact = gradients(model, "exact", 1);
    const auto mean = gradients(model, GetParam(), 200'000);
    const auto& names = model.named_parameters();
    const double noise = std::string(GetParam()) == "reinforce" ? 0.08 : 0.03;  // no baseline
    for (size_t i = 0; i < exact.size(); ++i) {
      const double size = exact[i].norm().item<double>();
      ASSERT_GT(size, 0) << names[i].first;
      EXPECT_LT((mean[i] - exact[i]).norm().item<double>(), noise * size) << names[i].first;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Score, UnbiasedTest,
                         ::testing::Values("reinforce", "rloo(2)", "rloo(3)", "arm", "disarm"));

TEST(BernoulliVaeTest, StraightThroughIsBiasedHere) {
  const Model model = toy();
  const Tensor exact = gradients(model, "exact", 1)[0];
  const Tensor mean = gradients(model, "st", 200'000)[0];
  EXPECT_GT((mean - exact).norm().item<double>(), 0.06 * exact.norm().item<double>());
}

// --- the loss ------------------------------------------------------------------------------------

/// The sum over z of q(z | x) (log q(z | x) - log masses of z - log p(x | z)), by its definition.
double enumerated_nelbo(const Model& model, const Tensor& q, const Tensor& on, const Tensor& off) {
  double sum = 0;
  const Tensor x = toy_images();
  for (int code = 0; code < 8; ++code) {
    const Tensor z = at::tensor({code & 1, code >> 1 & 1, code >> 2}, at::kFloat);
    const Tensor pixels = model.decode(z).sigmoid();
    for (int64_t b = 0; b < 2; ++b) {
      const Tensor mass = z * q[b] + (1 - z) * (1 - q[b]), prior = z * on + (1 - z) * off;
      const Tensor like = (x[b] * pixels + (1 - x[b]) * (1 - pixels)).log().sum();
      const Tensor term = mass.prod() * (mass.log().sum() - prior.log().sum() - like);
      sum += term.item<double>() / 2;
    }
  }
  return sum;
}

TEST(BernoulliVaeTest, LossIsTheBoundByItsDefinition) {
  const at::NoGradGuard no_grad;
  const Model model = toy();
  const Tensor p = model.named_parameters().back().second.sigmoid();
  const Tensor q = model.encode(toy_images()).sigmoid();
  const auto loss = model.loss(toy_images(), parse_estimator("exact"), {});
  EXPECT_NEAR(loss.nelbo().item<double>(), enumerated_nelbo(model, q, p, 1 - p), 1e-4);
}

TEST(BernoulliVaeTest, ReleasedVariantPairsTheEntriesInTheirOrder) {
  const at::NoGradGuard no_grad;
  const Model fixed = toy(), released = toy(Variant::released);
  const Tensor a = fixed.encode(toy_images());
  EXPECT_TRUE(released.encode(toy_images()).allclose(2 * a - 1));
  // Of three latents: (s1, s2), (s3, 1 - s1), (1 - s2, 1 - s3).
  const Tensor s = released.named_parameters().back().second.sigmoid();
  const Tensor on = at::stack({s[0], s[2], 1 - s[1]}), off = at::stack({s[1], 1 - s[0], 1 - s[2]});
  const auto loss = released.loss(toy_images(), parse_estimator("exact"), {});
  EXPECT_NEAR(loss.nelbo().item<double>(),
              enumerated_nelbo(released, (2 * a - 1).sigmoid(), on, off), 1e-4);
}

TEST(BernoulliVaeTest, LossTakesTheMeanOfItsSamples) {
  const at::NoGradGuard no_grad;
  const Model model = toy();
  const double exact = model.loss(toy_images(), parse_estimator("exact"), {}).recon.item<double>();
  for (const char* spec : {"st", "reinmax(1.1)", "arm", "disarm", "rloo(3)"}) {
    const auto loss = model.loss(toy_images(), parse_estimator(spec), {.samples = 100'000});
    EXPECT_NEAR(loss.recon.item<double>(), exact, 0.02 * exact) << spec;
  }
}

// --- binary images -------------------------------------------------------------------------------

TEST(BinarisedTest, DrawsEveryPixelWithItsGreyValue) {
  const Tensor grey = at::tensor({0.0, 0.25, 0.5, 1.0}).repeat({20'000, 1});
  const Tensor drawn = bernoulli::binarised(grey, {.seed = 5});
  EXPECT_EQ(drawn.scalar_type(), at::kByte);
  const Tensor mean = drawn.to(at::kDouble).mean(0);
  EXPECT_EQ(mean[0].item<double>(), 0);
  EXPECT_NEAR(mean[1].item<double>(), 0.25, 0.015);
  EXPECT_NEAR(mean[2].item<double>(), 0.5, 0.015);
  EXPECT_EQ(mean[3].item<double>(), 1);
}

TEST(BinarisedTest, IsKeyedByPassAndPlace) {
  const Tensor grey = at::full({2500, 4}, 0.5);
  const Tensor drawn = bernoulli::binarised(grey, {.seed = 5});
  EXPECT_TRUE(drawn.equal(bernoulli::binarised(grey, {.seed = 5})));
  // An image's draw does not depend on how many others there are.
  const Tensor fewer = bernoulli::binarised(grey.narrow(0, 0, 1300), {.seed = 5});
  EXPECT_TRUE(fewer.equal(drawn.narrow(0, 0, 1300)));
  EXPECT_FALSE(drawn.equal(bernoulli::binarised(grey, {.seed = 5, .offset = 1})));
  // Blocks of the work do not repeat each other.
  EXPECT_FALSE(drawn.narrow(0, 0, 1000).equal(drawn.narrow(0, 1000, 1000)));
}

// --- the importance-weighted bound ---------------------------------------------------------------

class ImportanceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    seed(7);
    model_.emplace(VaeShape{.K = 4, .L = 3, .pixels = 20, .hidden = {16}});
    const at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : model_->named_parameters()) Tensor(tensor).mul_(2);
    images_ = at::rand({50, 20}).gt(0.5).to(at::kFloat);
  }

  double bound(int64_t samples, int64_t examples_at_once = 100, int64_t samples_at_once = 40,
               uint64_t key = 1) {
    return importance_bound(images_.size(0),
                            {.samples = samples,
                             .examples_at_once = examples_at_once,
                             .samples_at_once = samples_at_once,
                             .key = {.seed = key}},
                            [&](int64_t first, int64_t n) {
                              return log_weights(*model_, images_.narrow(0, first, n), first);
                            });
  }

  std::optional<VaeModel> model_;
  Tensor images_;
};

TEST_F(ImportanceTest, FallsWithTheSamplesFromTheBoundToTheEnumeratedValue) {
  const ExactBound exact = exact_bound(*model_, images_);
  ASSERT_GT(exact.nelbo, exact.nll + 0.1);
  double one = 0;
  for (uint64_t key = 1; key <= 600; ++key) one += bound(1, 100, 40, key) / 600;
  EXPECT_NEAR(one, exact.nelbo, 0.04);  // of one sample: the negative ELBO in the mean
  double before = exact.nelbo;
  for (const int64_t samples : {3, 10, 100}) {
    double mean = 0;
    for (uint64_t key = 1; key <= 20; ++key) mean += bound(samples, 100, 40, key) / 20;
    EXPECT_LT(mean, before - 0.001) << samples;
    EXPECT_GT(mean, exact.nll - 0.01) << samples;
    before = mean;
  }
  EXPECT_NEAR(bound(5000), exact.nll, 0.003);
}

TEST_F(ImportanceTest, DoesNotDependOnHowMuchIsTakenAtOnce) {
  const double all = bound(60, 50, 60);
  EXPECT_NEAR(bound(60, 7, 60), all, 1e-5);
  EXPECT_NEAR(bound(60, 50, 11), all, 1e-5);
  EXPECT_NEAR(bound(60, 1, 1), all, 1e-5);
  EXPECT_GT(std::abs(bound(60, 50, 60, 2) - all), 1e-4);  // another key, other samples
}

TEST(ImportanceBoundTest, SurvivesWeightsThatUnderflow) {
  // Weights e^-2000 and e^-2010 in turn: the mean is far below the smallest double.
  const auto weights = [](int64_t, int64_t n) {
    return [n](int64_t count, const Key& key) {
      Tensor w = at::full({count, n}, -2000.0);
      for (int64_t s = 0; s < count; ++s) {
        if ((static_cast<int64_t>(key.offset) + s) % 2 == 1) w[s].fill_(-2010.0);
      }
      return w;
    };
  };
  for (const int64_t at_once : {1, 4, 10}) {
    const double bound = importance_bound(3, {.samples = 10, .samples_at_once = at_once}, weights);
    EXPECT_NEAR(bound, 2000 - std::log((1 + std::exp(-10)) / 2), 1e-9);
  }
}

TEST(BernoulliVaeTest, ImportanceWeightsAreThoseOfTheLoss) {
  for (const Variant variant : {Variant::fixed, Variant::released}) {
    const at::NoGradGuard no_grad;
    const Model model = toy(variant);
    const auto weights = model.log_weights(toy_images(), 0);
    // One sample: the negative ELBO in the mean.
    const double mean = -weights(200'000, {.seed = 2}).mean().item<double>();
    const double nelbo =
        model.loss(toy_images(), parse_estimator("exact"), {}).nelbo().item<double>();
    EXPECT_NEAR(mean, nelbo, 0.02);
  }
}

// --- the variance of a gradient ------------------------------------------------------------------

TEST(GradientVarianceTest, IsTheMeanOverEntriesOfTheUnbiasedVariance) {
  const Tensor a = at::zeros({2}).requires_grad_(), b = at::zeros({1}).requires_grad_();
  const Tensor unused = at::zeros({1}).requires_grad_();
  const double slopes[] = {1e4 + 1, 1e4 + 2, 1e4 + 6};
  const double got = gradient_variance({a, b, unused}, 3, [&](int64_t draw) {
    (a.sum() * slopes[draw]).backward();
    (b.sum() * 0.25).backward();  // the pieces of one gradient add up
    (b.sum() * 0.25).backward();
  });
  // Of 1, 2, 6 the variance is 7; two entries of four have it.
  EXPECT_NEAR(got, 2 * 7.0 / 4, 1e-3);
  EXPECT_FALSE(a.grad().defined());
}

}  // namespace
}  // namespace gradthru::experiments
