#include "support/psa.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

// The flip gradient of PSA layers against the reference.
namespace {

using gradthru::Coding;
using gradthru::ConvOptions;
using gradthru::PsaUnits;
using support::conv_case;
using support::ConvCase;
using support::kCodings;
using support::Layer;
using support::name_of;
using support::Random;

const std::vector<at::ScalarType> kDtypes = {at::kDouble, at::kFloat};

TEST(PsaLinear, EqualsTheReference) {
  Random random(1);
  for (const at::ScalarType dtype : kDtypes) {
    for (const Coding coding : kCodings) {
      for (const int64_t out : {1, 7, 8, 9, 16, 17, 33, 100}) {
        for (const int64_t in : {1, 2, 3, 4, 5, 8, 17, 33}) {
          for (const int64_t batch : {1, 3, 17}) {
            const PsaUnits units = support::random_units(random, {batch, out}, coding, dtype);
            support::expect_linear(
                units, random.normal({out, in}, 1, dtype),
                support::random_states(random, {batch, in}, coding, dtype), coding,
                std::to_string(batch) + " x " + std::to_string(in) + " -> " + std::to_string(out) +
                    " " + name_of(coding) + " " + c10::toString(dtype));
          }
        }
      }
    }
  }
}

TEST(PsaLinear, EqualsTheReferenceInWideLayers) {
  Random random(2);
  for (const double scale : {0.03, 1.0}) {
    const PsaUnits units = support::random_units(random, {3, 1500}, kCodings[0], at::kFloat);
    support::expect_linear(units, random.normal({1500, 70}, scale, at::kFloat),
                           support::random_states(random, {3, 70}, kCodings[0], at::kFloat),
                           kCodings[0], "1500 outputs, weights " + std::to_string(scale));
  }
}

TEST(PsaLinear, TakesAnyLeadingShape) {
  Random random(3);
  const PsaUnits units = support::random_units(random, {2, 3, 5}, kCodings[0]);
  const at::Tensor weight = random.normal({5, 4}),
                   input = support::random_states(random, {2, 3, 4}, kCodings[0]);
  const auto flat = [](const at::Tensor& t) { return t.reshape({6, -1}); };
  const at::Tensor rows =
      gradthru::psa_linear({flat(units.flip_grad), flat(units.preactivation), flat(units.state)},
                           weight, flat(input), kCodings[0]);
  EXPECT_TRUE(at::equal(flat(gradthru::psa_linear(units, weight, input, kCodings[0])), rows));
  const PsaUnits one = {units.flip_grad[0][0], units.preactivation[0][0], units.state[0][0]};
  EXPECT_TRUE(at::equal(gradthru::psa_linear(one, weight, input[0][0], kCodings[0]), rows[0]));
}

bool fits(const Layer& layer, const ConvOptions& options) {
  const reference::Convolution conv = support::as_reference(options);
  return layer.height + 2 * conv.padding[0] > conv.dilation[0] * (layer.kernel[0] - 1) &&
         layer.width + 2 * conv.padding[1] > conv.dilation[1] * (layer.kernel[1] - 1);
}

/// Every kernel x stride x padding x dilation x groups that fits.
template <class Visit>
void for_each_convolution(const Visit& visit) {
  const std::vector<std::array<int64_t, 2>> kernels = {{1, 1}, {2, 2}, {3, 3}, {3, 2}, {4, 5}};
  const std::vector<std::array<int64_t, 2>> strides = {{1, 1}, {2, 2}, {3, 3}, {1, 2}};
  const std::vector<std::array<int64_t, 2>> paddings = {{0, 0}, {1, 1}, {0, 2}};
  const std::vector<std::array<int64_t, 2>> dilations = {{1, 1}, {2, 2}, {1, 3}};
  for (const auto& kernel : kernels) {
    for (const auto& stride : strides) {
      for (const auto& padding : paddings) {
        for (const auto& dilation : dilations) {
          for (const int64_t groups : {1, 2, 6}) {
            const Layer layer{2, 6, 12, 7, 8, {kernel[0], kernel[1]}};
            const ConvOptions options{stride, padding, dilation, groups};
            if (fits(layer, options)) visit(layer, options);
          }
        }
      }
    }
  }
}

TEST(PsaConv2d, EqualsTheReference) {
  Random random(4);
  int64_t cases = 0;
  for_each_convolution([&](const Layer& layer, const ConvOptions& options) {
    const Coding coding = kCodings[static_cast<size_t>(cases++ % 2)];
    for (const at::ScalarType dtype : kDtypes) {
      const ConvCase c = conv_case(random, layer, options, coding, dtype);
      support::expect_conv2d(c.units, c.weight, c.input, coding, c.options, c.what);
    }
  });
  EXPECT_GT(cases, 300);
}

TEST(PsaConv2d, EqualsTheReferenceForAnyNumberOfChannels) {
  Random random(5);
  for (const at::ScalarType dtype : kDtypes) {
    for (const int64_t out : {1, 7, 8, 9, 16, 17, 33, 96, 200}) {
      for (const int64_t in : {1, 3, 4, 9}) {
        const Layer layer{3, in, out, 5, 4, {3, 3}};
        const ConvCase c =
            conv_case(random, layer, {.stride = {2, 1}, .padding = {1, 1}}, kCodings[1], dtype);
        support::expect_conv2d(c.units, c.weight, c.input, kCodings[1], c.options, c.what);
      }
    }
  }
}

TEST(PsaConv2d, EqualsTheDenseRuleOnItsMatrix) {
  Random random(6);
  for_each_convolution([&](const Layer& layer, const ConvOptions& options) {
    const ConvCase c = conv_case(random, layer, options, kCodings[0]);
    const at::Tensor matrix = reference::dense_matrix(support::as_reference(options), c.weight,
                                                      layer.height, layer.width);
    const auto flat = [](const at::Tensor& t) { return t.reshape({t.size(0), -1}); };
    const at::Tensor dense = gradthru::psa_linear(
        {flat(c.units.flip_grad), flat(c.units.preactivation), flat(c.units.state)}, matrix,
        flat(c.input), kCodings[0]);
    const at::Tensor conv =
        flat(gradthru::psa_conv2d(c.units, c.weight, c.input, kCodings[0], options));
    const double scale = dense.abs().max().item<double>();
    EXPECT_LE((conv - dense).abs().max().item<double>(), 1e-11 * scale) << c.what;
  });
}

TEST(Psa, CodingsGiveTheSameGradientForMappedWeights) {
  Random random(7);
  const at::Tensor on = random.integers({4, 6}, 0, 1).to(at::kDouble);
  const at::Tensor weight = random.normal({9, 6}), bias = random.normal({9});
  const at::Tensor flips = random.normal({4, 9}),
                   above = random.integers({4, 9}, 0, 1).to(at::kDouble);
  const at::Tensor a01 = at::matmul(on, weight.t()) + bias;
  const at::Tensor a = at::matmul(2 * on - 1, weight.t() / 2) + bias + weight.sum(1) / 2;
  const at::Tensor zero_one =
      gradthru::psa_linear({flips, a01, above}, weight, on, Coding::zero_one);
  const at::Tensor plus_minus = gradthru::psa_linear({flips, a, 2 * above - 1}, weight / 2,
                                                     2 * on - 1, Coding::plus_minus_one);
  EXPECT_LE((zero_one - plus_minus).abs().max().item<double>(), 1e-13);
}

TEST(Psa, CodingsOfAConvolutionAgreeAwayFromItsPadding) {
  Random random(8);
  const at::Tensor on = random.integers({2, 3, 9, 9}, 0, 1).to(at::kDouble);
  const at::Tensor weight = random.normal({5, 3, 3, 3}), bias = random.normal({5});
  const at::Tensor a01 = at::conv2d(on, weight, bias, 1, 1);
  const at::Tensor a = at::conv2d(2 * on - 1, weight / 2, bias + weight.sum({1, 2, 3}) / 2, 1, 1);
  const at::Tensor flips = random.normal(a.sizes());
  const at::Tensor above = random.integers(a.sizes(), 0, 1).to(at::kDouble);
  const ConvOptions options{.padding = {1, 1}};
  const at::Tensor difference =
      (gradthru::psa_conv2d({flips, a01, above}, weight, on, Coding::zero_one, options) -
       gradthru::psa_conv2d({flips, a, 2 * above - 1}, weight / 2, 2 * on - 1,
                            Coding::plus_minus_one, options))
          .abs();
  EXPECT_LE(difference.slice(2, 2, 7).slice(3, 2, 7).max().item<double>(), 1e-13);
  EXPECT_GE(difference.max().item<double>(), 1e-3) << "the border should differ";
}

TEST(Psa, LinearisedIsTheStraightThroughGradient) {
  Random random(9);
  for (const Coding coding : kCodings) {
    const double kappa = support::kappa_of(coding);
    std::vector<at::Tensor> weights, preactivations, states;
    const std::vector<int64_t> sizes = {3, 5, 4, 6};
    at::Tensor x = random.normal({7, 3});
    for (size_t l = 0; l + 1 < sizes.size(); ++l) {
      weights.push_back(random.normal({sizes[l + 1], sizes[l]}).set_requires_grad(true));
      preactivations.push_back(at::matmul(x, weights[l].t()));
      preactivations[l].retain_grad();
      states.push_back(support::random_states(random, {7, sizes[l + 1]}, coding));
      const at::Tensor slope =
          kappa * (at::sigmoid(preactivations[l]) * at::sigmoid(-preactivations[l])).detach();
      x = states[l] + slope * (preactivations[l] - preactivations[l].detach());
    }
    const at::Tensor head = random.normal({6});
    at::matmul(x, head).pow(2).sum().backward();
    // The same backward by flips.
    const auto sign = [](const at::Tensor& s) { return at::where(s > 0, 1.0, -1.0); };
    const at::Tensor value = at::matmul(states.back(), head);
    at::Tensor d = kappa * sign(states.back()) * (2 * value).unsqueeze(1) * head;
    for (size_t l = states.size(); l-- > 0;) {
      const at::Tensor a = preactivations[l].detach();
      const at::Tensor grad = sign(states[l]) * at::sigmoid(a) * at::sigmoid(-a) * d;
      const double scale = grad.abs().max().item<double>();
      EXPECT_LE((grad - preactivations[l].grad()).abs().max().item<double>(), 1e-12 * scale)
          << "layer " << l << " " << name_of(coding);
      if (l == 0) break;
      d = reference::psa_linear({d, a, states[l]}, weights[l].detach(), states[l - 1], kappa,
                                reference::linearised_difference)
              .grad;
    }
  }
}

const std::vector<double> kHardWeights = {0,    1e-40, 1e-12, 1e-8, 1e-3, 0.5,  1,  1.49,
                                          1.51, 2.01,  3,     5,    7.99, 8.01, 10, 15.9,
                                          16.1, 21,    44.5,  50,   100,  1e4};
const std::vector<double> kHardPreactivations = {0,  1e-8, 0.1, 1,  2.5, 5,   9,   15,
                                                 17, 30,   50,  87, 89,  100, 1e3, 1e4};

at::Tensor both_signs(const std::vector<double>& values) {
  const at::Tensor positive = at::tensor(values, at::kDouble);
  return at::cat({positive, -positive});
}

// Each pair of weight and preactivation alone: the bound holds for every single term.
TEST(Psa, IsAccurateForEveryWeightAndPreactivation) {
  const at::Tensor weights = both_signs(kHardWeights), as = both_signs(kHardPreactivations);
  for (const at::ScalarType dtype : kDtypes) {
    for (const double state : {-1.0, 1.0}) {
      const at::Tensor a = as.to(dtype).unsqueeze(1);
      const PsaUnits units = {at::full_like(a, 0.8), a, at::ones_like(a)};
      const at::Tensor input = at::full({a.size(0), weights.size(0)}, state, dtype);
      for (const Coding coding : kCodings)
        support::expect_linear(units, weights.to(dtype).unsqueeze(0), input, coding,
                               name_of(coding) + " " + c10::toString(dtype));
    }
  }
}

TEST(Psa, IsAccurateForMixturesOfExtremes) {
  Random random(10);
  const at::Tensor weights = both_signs(kHardWeights), as = both_signs(kHardPreactivations);
  const auto pick = [&](const at::Tensor& from, at::IntArrayRef shape, at::ScalarType dtype) {
    return from.index_select(0, random.integers(shape, 0, from.size(0) - 1).flatten())
        .reshape(shape)
        .to(dtype);
  };
  for (const at::ScalarType dtype : kDtypes) {
    PsaUnits units = support::random_units(random, {5, 60}, kCodings[0], dtype);
    units.preactivation = pick(as, {5, 60}, dtype);
    support::expect_linear(units, pick(weights, {60, 30}, dtype),
                           support::random_states(random, {5, 30}, kCodings[0], dtype), kCodings[0],
                           std::string("linear ") + c10::toString(dtype));
    ConvCase c =
        conv_case(random, {2, 5, 26, 6, 6, {3, 3}}, {.padding = {1, 1}}, kCodings[0], dtype);
    c.units.preactivation = pick(as, c.units.preactivation.sizes(), dtype);
    // Some taps with large weights, some without.
    const at::Tensor large = pick(weights, c.weight.sizes(), dtype);
    c.weight.slice(2, 1, 2).copy_(large.slice(2, 1, 2));
    support::expect_conv2d(c.units, c.weight, c.input, kCodings[0], c.options,
                           std::string("conv ") + c10::toString(dtype));
  }
}

TEST(Psa, ScalesWithTheFlipGradient) {
  Random random(11);
  const PsaUnits units = support::random_units(random, {3, 20}, kCodings[0], at::kFloat);
  const at::Tensor input = support::random_states(random, {3, 9}, kCodings[0], at::kFloat);
  for (const double deviation : {1.0, 2.0, 8.0}) {  // rational, split and extreme
    const at::Tensor weight = random.normal({20, 9}, deviation, at::kFloat);
    const auto grad = [&](float scale) {
      return gradthru::psa_linear({scale * units.flip_grad, units.preactivation, units.state},
                                  weight, input, kCodings[0]) /
             scale;
    };
    EXPECT_TRUE(at::equal(grad(0x1p-60f), grad(1))) << deviation;
    EXPECT_TRUE(at::equal(grad(0x1p40f), grad(1))) << deviation;
  }
}

TEST(Psa, HandsOnNaNAndInfinityWhereTheyReach) {
  Random random(12);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const PsaUnits units = support::random_units(random, {4, 11}, kCodings[0], at::kFloat);
  const at::Tensor weight = random.normal({11, 9}, 1, at::kFloat);
  const at::Tensor input = support::random_states(random, {4, 9}, kCodings[0], at::kFloat);
  const auto grad = [&](const PsaUnits& above, const at::Tensor& w) {
    return gradthru::psa_linear(above, w, input, kCodings[0]);
  };
  const at::Tensor plain = grad(units, weight);

  at::Tensor bad = weight.clone();
  bad[3][5] = nan;
  const at::Tensor by_weight = grad(units, bad);
  EXPECT_TRUE(by_weight.select(1, 5).isnan().all().item<bool>());
  EXPECT_TRUE(at::equal(by_weight.slice(1, 0, 4), plain.slice(1, 0, 4)));
  EXPECT_TRUE(by_weight.isnan().sum().item<int64_t>() == 4);

  for (const bool in_preactivation : {false, true}) {
    PsaUnits poisoned = {units.flip_grad.clone(), units.preactivation.clone(), units.state};
    (in_preactivation ? poisoned.preactivation : poisoned.flip_grad)[2][10] = nan;
    for (const float scale : {1.0f, 50.0f}) {
      const at::Tensor reached = grad(poisoned, scale * weight);
      EXPECT_TRUE(reached[2].isnan().all().item<bool>()) << in_preactivation;
      EXPECT_EQ(reached.isnan().sum().item<int64_t>(), 9) << in_preactivation;
    }
  }
  // An infinite weight decides the unit, an infinite preactivation is beyond reach.
  const at::Tensor one = at::ones({1, 1});
  const auto alone = [&](float a, float w) {
    return gradthru::psa_linear({one, at::full({1, 1}, a), one}, at::full({1, 1}, w), one,
                                kCodings[0])
        .item<float>();
  };
  EXPECT_NEAR(alone(0.5f, infinity), 1 / (1 + std::exp(-0.5)), 1e-6);
  EXPECT_NEAR(alone(0.5f, -infinity), -1 / (1 + std::exp(0.5)), 1e-6);
  EXPECT_EQ(alone(infinity, 2), 0);
  EXPECT_EQ(alone(-infinity, 2), 0);
}

}  // namespace
