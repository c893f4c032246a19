#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "gradthru/nn/binary_conv2d.h"
#include "gradthru/nn/binary_linear.h"
#include "gradthru/nn/network_loss.h"
#include "support/psa.h"
#include "support/random.h"
#include "support/refusal.h"

// Layers of stochastic binary units and the head, one at a time.
namespace {

using at::Tensor;
using gradthru::Coding;
using gradthru::Estimator;
using gradthru::Key;
using gradthru::parse_estimator;
using gradthru::nn::head_loss;
using gradthru::nn::HeadSignal;
using gradthru::nn::LayerInput;
using gradthru::nn::LayerMoments;
using gradthru::nn::LayerOptions;
using gradthru::nn::LayerSample;
using gradthru::nn::loss_of;
using gradthru::nn::NetworkLoss;
using gradthru::nn::Propagation;
using gradthru::nn::StochasticBinaryConv2d;
using gradthru::nn::StochasticBinaryLinear;
using support::kappa_of;
using support::kCodings;
using support::Random;
using torch::autograd::grad;

constexpr Key kKey{.seed = 11, .offset = 5};
const std::vector<NetworkLoss> kLosses = {NetworkLoss::softmax_nll, NetworkLoss::logistic,
                                          NetworkLoss::squared};

StochasticBinaryLinear linear(int64_t in, int64_t out, Coding coding) {
  StochasticBinaryLinear layer(in, out, coding);
  layer->to(at::kDouble);
  return layer;
}

LayerOptions options_of(LayerInput input) {
  return {.input = input, .key = kKey};
}

/// Relative to the largest entry.
double difference(const Tensor& a, const Tensor& b) {
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-300)).item<double>();
}

Tensor sign_of(const Tensor& x) {
  return at::where(x > 0, 1.0, -1.0).to(at::kDouble);
}

Tensor slope(const Tensor& a) {
  return a.sigmoid() * (-a).sigmoid();
}

TEST(Layer, DrawsTheSameUnitsForEveryMethodThatSamples) {
  Random random(1);
  for (const Coding coding : kCodings) {
    const auto layer = linear(6, 50, coding);
    const Tensor x = random.normal({4, 6});
    const LayerSample st = layer->sample(x, gradthru::st(), options_of(LayerInput::real));
    const double off = coding == Coding::zero_one ? 0 : -1;
    EXPECT_TRUE(((st.x == 1) | (st.x == off)).all().item<bool>());
    EXPECT_TRUE(at::allclose(st.preactivation, at::linear(x, layer->weight, layer->bias)));
    for (const char* spec : {"psa", "hard_st", "zgr", "darn", "reinforce", "arm"}) {
      EXPECT_TRUE(
          at::equal(layer->forward(x, parse_estimator(spec), options_of(LayerInput::real)), st.x))
          << spec;
    }
    // The relaxed units are those at low temperature.
    const Tensor cold =
        layer->forward(x, parse_estimator("concrete(1e-4)"), options_of(LayerInput::real));
    EXPECT_LE((cold - st.x).abs().max().item<double>(), 0.1);
  }
}

/// What each rule makes of a signal g at units x with preactivations a.
TEST(Layer, HandsTheGradientOnByItsRule) {
  Random random(2);
  for (const Coding coding : kCodings) {
    const auto layer = linear(5, 7, coding);
    const double k = kappa_of(coding);
    const Tensor x = support::random_states(random, {3, 5}, coding).requires_grad_();
    const Tensor g = random.normal({3, 7});
    const auto check = [&](const char* spec, const auto& wanted_grad_a) {
      const auto [y, a] = layer->sample(x, parse_estimator(spec), options_of(LayerInput::units));
      const auto grads = grad({y}, {layer->weight, layer->bias, x}, {g});
      const Tensor grad_a = wanted_grad_a(sign_of(y), a.detach());
      EXPECT_LE(difference(grads[0], grad_a.t().matmul(x.detach())), 1e-13) << spec;
      EXPECT_LE(difference(grads[1], grad_a.sum(0)), 1e-13) << spec;
      const Tensor below = std::string(spec) == "psa"
                               ? gradthru::psa_linear({g, a.detach(), y.detach()},
                                                      layer->weight.detach(), x.detach(), coding)
                               : grad_a.matmul(layer->weight.detach());
      EXPECT_LE(difference(grads[2], below), 1e-13) << spec;
    };
    check("psa", [&](const Tensor& s, const Tensor& a) { return s * slope(a) * g; });
    check("st", [&](const Tensor&, const Tensor& a) { return k * slope(a) * g; });
    check("zgr", [&](const Tensor& s, const Tensor& a) { return k / 2 * (-s * a).sigmoid() * g; });
    check("hard_st", [&](const Tensor&, const Tensor& a) {
      return k / 2 * (a.abs() < 1).to(at::kDouble) * g;
    });
  }
}

TEST(Layer, OfRealInputHasAnOrdinaryGradientWithPsa) {
  Random random(3);
  const auto layer = linear(5, 4, Coding::plus_minus_one);
  const Tensor x = random.normal({3, 5}).requires_grad_(), d = random.normal({3, 4});
  const auto [y, a] = layer->sample(x, gradthru::psa(), options_of(LayerInput::real));
  const Tensor grad_a = sign_of(y) * slope(a.detach()) * d;
  EXPECT_LE(difference(grad({y}, {x}, {d})[0], grad_a.matmul(layer->weight.detach())), 1e-13);
}

TEST(Layer, RefusesASecondDerivativeOfPsa) {
  const auto layer = linear(2, 2, Coding::plus_minus_one);
  const Tensor x = at::ones({1, 2}, at::kDouble).requires_grad_();
  const Tensor y = layer->forward(x, gradthru::psa(), options_of(LayerInput::units));
  EXPECT_THROW(grad({y.sum()}, {x}, {}, std::nullopt, true), gradthru::InvalidInput);
}

/// The convolution of every geometry is the linear layer of its matrix, for every rule.
TEST(Conv2d, IsTheLinearLayerOfItsMatrix) {
  Random random(4);
  struct Geometry {
    int64_t in, out;
    gradthru::ConvOptions options;
  };
  const std::vector<Geometry> geometries = {
      {2, 3, {}},
      {2, 3, {.stride = {2, 2}}},
      {2, 2, {.stride = {2, 1}, .padding = {1, 2}}},
      {4, 4, {.padding = {1, 1}, .dilation = {2, 1}, .groups = 2}}};
  for (const auto& [in, out, options] : geometries) {
    for (const char* spec : {"psa", "st"}) {
      StochasticBinaryConv2d conv(in, out, std::array<int64_t, 2>{3, 2}, options);
      conv->to(at::kDouble);
      const Tensor x =
          support::random_states(random, {2, in, 6, 5}, Coding::plus_minus_one).requires_grad_();
      const auto [y, a] = conv->sample(x, parse_estimator(spec), options_of(LayerInput::units));
      // The matrix: column i is the response of the layer without bias to the unit vector i.
      const int64_t n = x[0].numel();
      const Tensor units = at::eye(n, at::kDouble).reshape({n, in, 6, 5});
      const Tensor response = at::conv2d(units, conv->weight.detach(), {}, options.stride,
                                         options.padding, options.dilation, options.groups);
      const auto dense = linear(n, y[0].numel(), Coding::plus_minus_one);
      {
        const at::NoGradGuard no_grad;
        dense->weight.copy_(response.flatten(1).t());
        const std::vector<int64_t> plane = {1, -1, 1, 1};
        dense->bias.copy_(
            conv->bias.reshape(plane).expand({1, out, y.size(2), y.size(3)}).flatten());
      }
      const Tensor flat = x.detach().flatten(1).requires_grad_();
      const auto [z, b] = dense->sample(flat, parse_estimator(spec), options_of(LayerInput::units));
      EXPECT_TRUE(at::allclose(a.flatten(1), b, 0, 1e-12));
      ASSERT_TRUE(at::equal(y.flatten(1), z));
      const Tensor d = random.normal(y.sizes());
      const auto of_conv = grad({y}, {x, conv->bias}, {d});
      const auto of_dense = grad({z}, {flat, dense->bias}, {d.flatten(1)});
      EXPECT_LE(difference(of_conv[0].flatten(1), of_dense[0]), 1e-11) << spec;
      const Tensor per_channel = of_dense[1].reshape({out, -1}).sum(1);
      EXPECT_LE(difference(of_conv[1], per_channel), 1e-11) << spec;
    }
  }
}

TEST(Moments, AreThoseOfTheFormulas) {
  Random random(5);
  for (const Coding coding : kCodings) {
    const auto layer = linear(4, 3, coding);
    const bool pm1 = coding == Coding::plus_minus_one;
    const Tensor m = random.normal({2, 4}), v = random.normal({2, 4}).square();
    const Tensor W = layer->weight.detach(), b = layer->bias.detach();
    const auto at_unit = [&](const auto& rule) {
      Tensor mean = at::zeros({2, 3}, at::kDouble), variance = at::zeros({2, 3}, at::kDouble);
      for (int64_t n = 0; n < 2; ++n) {
        for (int64_t j = 0; j < 3; ++j) {
          double sum = b[j].item<double>(), spread = 0;
          for (int64_t i = 0; i < 4; ++i) {
            const double w = W[j][i].item<double>();
            sum += w * m[n][i].item<double>();
            spread += w * w * v[n][i].item<double>();
          }
          const auto [one, two] = rule(sum, spread);
          mean[n][j] = one;
          variance[n][j] = two;
        }
      }
      return LayerMoments{mean, variance};
    };
    const auto check = [&](Propagation rule, const auto& formula) {
      const LayerMoments got = layer->moments({m, v}, rule), wanted = at_unit(formula);
      EXPECT_LE(difference(got.mean.detach(), wanted.mean), 1e-12);
      if (rule == Propagation::ap2) {
        EXPECT_LE(difference(got.variance.detach(), wanted.variance), 1e-12);
      } else {
        EXPECT_FALSE(got.variance.defined());
      }
    };
    const auto sigmoid = [](double a) { return 1 / (1 + std::exp(-a)); };
    using Pair = std::pair<double, double>;
    check(Propagation::ap1,
          [&](double a, double) { return Pair(pm1 ? 2 * sigmoid(a) - 1 : sigmoid(a), 0); });
    check(Propagation::tanh,
          [&](double a, double) { return Pair(pm1 ? std::tanh(a) : (1 + std::tanh(a)) / 2, 0); });
    check(Propagation::ap2, [&](double a, double s) {
      const double p = sigmoid(a / std::sqrt(1 + 3 * s / std::pow(std::numbers::pi, 2)));
      return Pair(pm1 ? 2 * p - 1 : p, (pm1 ? 4 : 1) * p * (1 - p));
    });
    // Without a variance below there is nothing to draw.
    const LayerMoments sure = layer->moments({m, {}}, Propagation::local_reparam, kKey);
    EXPECT_TRUE(at::equal(sure.mean, layer->moments({m, {}}, Propagation::ap2).mean));
  }
}

TEST(Moments, OfLocalReparamAreDrawnFromTheNormalLaw) {
  Random random(6);
  const auto layer = linear(4, 2, Coding::zero_one);
  const int64_t N = 20000;
  const Tensor m = random.normal({1, 4}).expand({N, 4}), v = random.normal({1, 4}).square();
  const Tensor p =
      layer->moments({m, v.expand({N, 4})}, Propagation::local_reparam, kKey).mean.detach();
  const Tensor a = at::logit(p);
  const Tensor mean = layer->preactivation(m[0].unsqueeze(0)).detach()[0];
  const Tensor sd = layer->spread(v).detach()[0].sqrt();
  const Tensor z = (a - mean) / sd;
  for (int64_t j = 0; j < 2; ++j) {
    const Tensor column = z.select(1, j);
    const double n = static_cast<double>(N);
    EXPECT_LE(std::abs(column.mean().item<double>()) * std::sqrt(n), 5);
    EXPECT_LE(std::abs(column.square().mean().item<double>() - 1) * std::sqrt(n / 2), 5);
    EXPECT_LE(std::abs(column.pow(4).mean().item<double>() - 3) * std::sqrt(n / 96), 5);
  }
}

/// The head by its definition, with autograd.
struct PlainHead {
  Tensor value, flips;  // [B], [B, n]
};

PlainHead plain_head(const Tensor& x, const Tensor& a, const Tensor& W, const Tensor& b,
                     const Tensor& y, NetworkLoss loss, double kappa) {
  const auto f = [&](const Tensor& units) { return loss_of(loss, at::linear(units, W, b), y); };
  const Tensor s = sign_of(x), value = f(x);
  const int64_t n = x.size(1);
  Tensor average = value, unlikely = (-s * a).sigmoid() / static_cast<double>(n);
  std::vector<Tensor> flips;
  for (int64_t i = 0; i < n; ++i) {
    Tensor change = at::zeros_like(x);
    change.select(1, i) = -kappa * s.select(1, i);
    const Tensor lost = value - f(x + change);
    flips.push_back(lost);
    average = average - unlikely.select(1, i) * lost;
  }
  return {average, at::stack(flips, 1)};
}

Tensor targets(Random& random, NetworkLoss loss, int64_t B, int64_t C) {
  if (loss == NetworkLoss::squared) return random.normal({B, C});
  if (loss == NetworkLoss::logistic) return 2 * random.integers({B}, 0, 1).to(at::kDouble) - 1;
  return random.integers({B}, 0, C - 1);
}

TEST(Head, IsItsDefinition) {
  Random random(7);
  for (const NetworkLoss loss : kLosses) {
    for (const Coding coding : kCodings) {
      const int64_t B = 3, n = 5, C = loss == NetworkLoss::logistic ? 1 : 4;
      const Tensor x = support::random_states(random, {B, n}, coding).requires_grad_();
      const Tensor a = random.normal({B, n}), W = random.normal({C, n}).requires_grad_(),
                   b = random.normal({C}).requires_grad_(), y = targets(random, loss, B, C),
                   g = random.normal({B});
      const PlainHead wanted = plain_head(x.detach(), a, W, b, y, loss, kappa_of(coding));
      const auto of_value = grad({wanted.value}, {W, b}, {g});
      const auto check = [&](HeadSignal signal, bool average, const Tensor& value,
                             const Tensor& below) {
        const Tensor got = head_loss({x, a}, W, b, y, {loss, coding, signal, average});
        EXPECT_LE(difference(got.detach(), value.detach()), 1e-13);
        const auto grads = grad({got}, {x, W, b}, {g});
        EXPECT_LE(difference(grads[0], below), 1e-12);
        if (!average) return;
        EXPECT_LE(difference(grads[1], of_value[0]), 1e-12);
        EXPECT_LE(difference(grads[2], of_value[1]), 1e-12);
      };
      const Tensor f = loss_of(loss, at::linear(x, W, b), y);
      const Tensor derivative = grad({f}, {x}, {g})[0];
      const Tensor flips = (g.unsqueeze(1) * wanted.flips).detach();
      check(HeadSignal::flip, true, wanted.value, flips);
      check(HeadSignal::flip, false, f, flips);
      check(HeadSignal::derivative, true, wanted.value, derivative);
      check(HeadSignal::derivative, false, f, derivative);
    }
  }
}

/// More units than fit into one block.
TEST(Head, IsTheSameInBlocks) {
  Random random(8);
  const int64_t B = 512, n = 300, C = 10;
  ASSERT_GT(B * n * C, gradthru::nn::kHeadBlock);
  const Tensor x = support::random_states(random, {B, n}, Coding::zero_one).requires_grad_();
  const Tensor a = random.normal({B, n}), W = random.normal({C, n}, 0.1).requires_grad_(),
               b = random.normal({C}).requires_grad_();
  const Tensor y = random.integers({B}, 0, C - 1);
  const gradthru::nn::HeadOptions options{.coding = Coding::zero_one, .signal = HeadSignal::flip};
  const Tensor whole = head_loss({x, a}, W, b, y, options);
  const auto of_whole = grad({whole.sum()}, {x, W, b});
  Tensor sum_W = at::zeros_like(W);
  for (int64_t first = 0; first < B; first += 64) {
    const Tensor part = x.detach().narrow(0, first, 64).requires_grad_();
    const Tensor f =
        head_loss({part, a.narrow(0, first, 64)}, W, b, y.narrow(0, first, 64), options);
    EXPECT_LE(difference(f.detach(), whole.detach().narrow(0, first, 64)), 1e-13);
    const auto grads = grad({f.sum()}, {part, W});
    EXPECT_LE(difference(grads[0], of_whole[0].narrow(0, first, 64)), 1e-13);
    sum_W += grads[1];
  }
  EXPECT_LE(difference(sum_W, of_whole[1]), 1e-12);
}

TEST(Head, RefusesWhatDoesNotFit) {
  const auto tensor = [](at::IntArrayRef sizes) { return at::zeros(sizes, at::kDouble); };
  const Tensor W = tensor({3, 4}), b = tensor({3}), y = at::zeros({2}, at::kLong);
  const auto call = [&](at::IntArrayRef x, at::IntArrayRef a, const Tensor& target,
                        NetworkLoss loss = NetworkLoss::softmax_nll) {
    return [=, xs = x.vec(), as = a.vec()] {
      head_loss({tensor(xs), tensor(as)}, W, b, target, {.loss = loss});
    };
  };
  support::expect_refused(call({2, 5}, {2, 5}, y), "x must be [B, 4]");
  support::expect_refused(call({2, 4}, {2, 3}, y), "preactivation must have the shape of x");
  support::expect_refused(call({3, 4}, {3, 4}, y), "target must have the shape [3], got [2]");
  support::expect_refused(call({2, 4}, {2, 4}, tensor({2})), "int64");
  support::expect_refused(call({2, 4}, {2, 4}, y, NetworkLoss::logistic), "1 output, got 3");
  support::expect_refused(call({2, 4}, {2, 4}, y, NetworkLoss::squared), "[2, 3], got [2]");
}

TEST(Layer, RefusesWhatDoesNotFit) {
  const auto layer = linear(3, 2, Coding::plus_minus_one);
  const auto with = [&](const Tensor& x, const char* spec, LayerOptions options) {
    return [=] { layer->forward(x, parse_estimator(spec), options); };
  };
  const Tensor x = at::ones({2, 3}, at::kDouble);
  support::expect_refused(with(at::ones({2, 4}, at::kDouble), "psa", {}),
                          "must be [.., 3], got [2, 4]");
  support::expect_refused(with(x, "ap1", {}), "no rule for a sampled layer");
  support::expect_refused(with(x * 0.5, "psa", {.check = true}), "values -1 and 1");
  EXPECT_NO_THROW(with(x, "psa", {.check = true})());
  support::expect_refused([] { StochasticBinaryLinear(0, 2); }, "must be >= 1");
  support::expect_refused(
      [] {
        StochasticBinaryConv2d(3, 4, std::array<int64_t, 2>{1, 1},
                               gradthru::ConvOptions{.groups = 2});
      },
      "groups must divide");
  const StochasticBinaryConv2d conv(1, 2, std::array<int64_t, 2>{3, 3});
  support::expect_refused([&] { conv->forward(at::ones({1, 1, 2, 5}), gradthru::psa()); },
                          "hold the kernel");
}

}  // namespace
