#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "gradthru/expectation.h"
#include "gradthru/nn/binary_conv2d.h"
#include "gradthru/nn/binary_linear.h"
#include "gradthru/nn/binary_sequential.h"
#include "lab/network_exact.h"
#include "lab/network_module.h"
#include "support/random.h"
#include "support/refusal.h"
#include "support/statistics.h"

// Networks of stochastic binary layers: every method against enumeration of all paths.
namespace {

using at::Tensor;
using gradthru::Coding;
using gradthru::Estimator;
using gradthru::Key;
using gradthru::parse_estimator;
using gradthru::lab::BinaryNetwork;
using gradthru::lab::flat;
using gradthru::lab::NetworkLayer;
using gradthru::nn::NetworkEvaluation;
using gradthru::nn::NetworkLoss;
using gradthru::nn::NetworkOptions;
using gradthru::nn::Propagation;
using gradthru::nn::StochasticBinaryConv2dImpl;
using gradthru::nn::StochasticBinaryLinearImpl;
using gradthru::nn::StochasticBinarySequential;
using support::Random;

constexpr Key kKey{.seed = 7, .offset = 3};

BinaryNetwork network(const std::vector<int64_t>& widths, NetworkLoss loss, Coding coding,
                      int64_t N, uint64_t seed) {
  Random random(seed);
  BinaryNetwork net;
  net.coding = coding;
  net.loss = loss;
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    net.layers.push_back(
        {random.normal({widths[l + 1], widths[l]}), random.normal({widths[l + 1]})});
  }
  net.x = random.normal({N, widths[0]});
  net.y = loss == NetworkLoss::logistic  ? 2 * random.integers({N}, 0, 1).to(at::kDouble) - 1
          : loss == NetworkLoss::squared ? random.normal({N, widths.back()})
                                         : random.integers({N}, 0, widths.back() - 1);
  return net;
}

/// Gradients of all parameters in one vector.
Tensor all_of(const std::vector<NetworkLayer>& layers) {
  std::vector<Tensor> parts;
  for (const auto& layer : layers) parts.push_back(flat(layer));
  return at::cat(parts);
}

Tensor gradient(StochasticBinarySequential& net, const Tensor& x, const Tensor& y,
                const Estimator& e, const NetworkOptions& options) {
  net->zero_grad();
  net->loss(x, y, e, options).backward();
  return all_of(gradthru::lab::gradients_of(*net)).clone();
}

/// All paths through layers of these units: for each, the states of every layer.
std::vector<std::vector<Tensor>> all_paths(const std::vector<int64_t>& units, Coding coding) {
  int64_t total = 0;
  for (const int64_t n : units) total += n;
  const Tensor on = gradthru::states(2, total, 0, int64_t{1} << total).to(at::kDouble);
  const Tensor values = coding == Coding::plus_minus_one ? 2 * on - 1 : on;
  std::vector<std::vector<Tensor>> paths;
  for (int64_t p = 0; p < values.size(0); ++p) {
    std::vector<Tensor> states;
    int64_t first = 0;
    for (const int64_t n : units) {
      states.push_back(values[p].narrow(0, first, n).unsqueeze(0));
      first += n;
    }
    paths.push_back(states);
  }
  return paths;
}

double probability(const StochasticBinarySequential& net, const Tensor& x,
                   const std::vector<Tensor>& path) {
  const auto layers = net->sample(x, {.given = path, .key = kKey});
  double log_p = 0;
  for (const auto& [state, a] : layers)
    log_p += at::log_sigmoid(at::where(state > 0, a, -a)).sum().item<double>();
  return std::exp(log_p);
}

/// The mean of a method's gradient over all paths.
Tensor mean_gradient(const BinaryNetwork& net, const Estimator& e, bool one_flip_average) {
  StochasticBinarySequential module = gradthru::lab::module_of(net);
  std::vector<int64_t> units;
  for (size_t l = 0; l < net.hidden_layers(); ++l) units.push_back(net.layers[l].b.size(0));
  Tensor sum;
  const double N = static_cast<double>(net.x.size(0));
  for (int64_t n = 0; n < net.x.size(0); ++n) {
    const Tensor x = net.x.narrow(0, n, 1), y = net.y.narrow(0, n, 1);
    for (const auto& path : all_paths(units, net.coding)) {
      const Tensor g = gradient(module, x, y, e,
                                {.one_flip_average = one_flip_average, .given = path, .key = kKey});
      const Tensor part = g * (probability(module, x, path) / N);
      sum = sum.defined() ? sum + part : part;
    }
  }
  return sum;
}

/// The layers, the head and the rules together, against the dynamic programme of the lab.
TEST(Network, HasTheMeanGradientOfItsMethod) {
  for (const Coding coding : {Coding::plus_minus_one, Coding::zero_one}) {
    const BinaryNetwork net = network({2, 2, 3, 3}, NetworkLoss::softmax_nll, coding, 2, 1);
    for (const char* spec : {"psa", "st", "hard_st", "zgr", "darn", "reinforce"}) {
      for (const bool average : {false, true}) {
        const Estimator rule = parse_estimator(spec);
        const Tensor wanted = all_of(gradthru::lab::path_moments(net, rule).mean);
        const Tensor got = mean_gradient(net, rule, average);
        EXPECT_LE((got - wanted).abs().max().item<double>(), 1e-13) << spec << average;
      }
    }
  }
}

/// The mean over all paths, at the sampling temperature of the estimator, of the loss that is
/// given back.
double mean_loss(const BinaryNetwork& net, const Estimator& e, double tau, bool average) {
  StochasticBinarySequential module = gradthru::lab::module_of(net);
  std::vector<int64_t> units;
  for (size_t l = 0; l < net.hidden_layers(); ++l) units.push_back(net.layers[l].b.size(0));
  double sum = 0;
  for (int64_t n = 0; n < net.x.size(0); ++n) {
    const Tensor x = net.x.narrow(0, n, 1), y = net.y.narrow(0, n, 1);
    for (const auto& path : all_paths(units, net.coding)) {
      const NetworkOptions options{.one_flip_average = average, .given = path, .key = kKey};
      double p = 1;
      for (const auto& [state, a] : module->sample(x, {.given = path, .key = kKey}))
        p *= at::sigmoid(at::where(state > 0, a, -a) / tau).prod().item<double>();
      sum += p * module->loss(x, y, e, options).item<double>();
    }
  }
  return sum;
}

TEST(Network, TheOneFlipAverageHasTheMeanLossAtAnyForwardTemperature) {
  const BinaryNetwork net =
      network({2, 3, 3, 3}, NetworkLoss::softmax_nll, Coding::plus_minus_one, 2, 1);
  for (const double tau : {0.4, 1.0, 2.5}) {
    const Estimator e = gradthru::st({.tau_f = tau});
    EXPECT_NEAR(mean_loss(net, e, tau, true), mean_loss(net, e, tau, false), 1e-13) << tau;
  }
  const Estimator cold = gradthru::st({.tau_f = 0});
  StochasticBinarySequential module = gradthru::lab::module_of(net);
  const auto loss = [&](bool average) {
    const NetworkOptions options{.one_flip_average = average, .key = kKey};
    return module->loss(net.x, net.y, cold, options).item<double>();
  };
  EXPECT_EQ(loss(true), loss(false));
}

TEST(Network, ExactIsTheExactGradient) {
  for (const Coding coding : {Coding::plus_minus_one, Coding::zero_one}) {
    for (const NetworkLoss loss :
         {NetworkLoss::logistic, NetworkLoss::softmax_nll, NetworkLoss::squared}) {
      const int64_t outputs = loss == NetworkLoss::logistic ? 1 : 3;
      const BinaryNetwork net = network({2, 3, 4, 2, outputs}, loss, coding, 3, 2);
      const auto exact = gradthru::lab::exact_gradient(net);
      StochasticBinarySequential module = gradthru::lab::module_of(net);
      EXPECT_NEAR(module->loss(net.x, net.y, gradthru::exact()).item<double>(), exact.value, 1e-14);
      const Tensor got = gradient(module, net.x, net.y, gradthru::exact(), {});
      EXPECT_LE((got - all_of(exact.layers)).abs().max().item<double>(), 1e-14);
    }
  }
}

/// The value of every method that samples has the objective as its mean.
TEST(Network, HasTheObjectiveAsItsMeanValue) {
  const BinaryNetwork net =
      network({2, 3, 2, 3}, NetworkLoss::softmax_nll, Coding::plus_minus_one, 1, 3);
  const StochasticBinarySequential module = gradthru::lab::module_of(net);
  const double wanted = gradthru::lab::exact_gradient(net).value;
  for (const char* spec : {"psa", "st", "reinforce(baseline=2)"}) {
    for (const bool average : {false, true}) {
      double mean = 0;
      for (const auto& path : all_paths({3, 2}, net.coding)) {
        const Tensor value =
            module->loss(net.x, net.y, parse_estimator(spec),
                         {.one_flip_average = average, .given = path, .key = kKey});
        mean += probability(module, net.x, path) * value.item<double>();
      }
      EXPECT_NEAR(mean, wanted, 1e-13) << spec << average;
    }
  }
}

/// Unbiased methods that draw more than one path, from their own draws.
TEST(Network, UnbiasedMethodsHaveTheExactMean) {
  BinaryNetwork net = network({2, 3, 3, 2}, NetworkLoss::softmax_nll, Coding::zero_one, 2, 4);
  const Tensor exact = all_of(gradthru::lab::exact_gradient(net).layers);
  StochasticBinarySequential module = gradthru::lab::module_of(net);
  const Tensor x = net.x.repeat({60, 1}), y = net.y.repeat({60});
  for (const char* spec : {"arm", "rloo(3)", "reinforce(baseline=moving)", "reinforce"}) {
    const Estimator e = parse_estimator(spec);
    const Tensor baseline = at::zeros({}, at::kDouble);
    Key key = kKey;
    std::vector<Tensor> estimates;
    for (int i = 0; i < 400; ++i) {
      const NetworkOptions options{.baseline = baseline, .key = key.take(module->offsets_used(e))};
      estimates.push_back(gradient(module, x, y, e, options));
    }
    const Tensor all = at::stack(estimates);
    const Tensor error = all.std(0) / std::sqrt(400.0);
    const double z = ((all.mean(0) - exact) / error).abs().max().item<double>();
    EXPECT_LE(z, support::kLargestZ) << spec;
    EXPECT_EQ(baseline.item<double>() != 0, std::string(spec) == "reinforce(baseline=moving)");
  }
}

TEST(Network, MovingBaselineChangesAfterUse) {
  const BinaryNetwork net = network({2, 3, 2}, NetworkLoss::softmax_nll, Coding::zero_one, 4, 5);
  StochasticBinarySequential module = gradthru::lab::module_of(net);
  const Tensor state = at::full({}, 0.5, at::kDouble);
  const NetworkOptions plain{.one_flip_average = false, .key = kKey};
  NetworkOptions moving = plain;
  moving.baseline = state;
  moving.decay = 0.75;
  const Tensor got =
      gradient(module, net.x, net.y, parse_estimator("reinforce(baseline=moving)"), moving);
  const Tensor wanted =
      gradient(module, net.x, net.y, parse_estimator("reinforce(baseline=0.5)"), plain);
  EXPECT_TRUE(at::equal(got, wanted));
  const double loss = module->loss(net.x, net.y, gradthru::st(), plain).item<double>();
  EXPECT_NEAR(state.item<double>(), 0.75 * 0.5 + 0.25 * loss, 1e-15);
}

/// Relaxed and propagated networks against plain autograd through the same formulas.
TEST(Network, PropagatesByItsFormulas) {
  const BinaryNetwork net =
      network({2, 3, 4, 3}, NetworkLoss::softmax_nll, Coding::plus_minus_one, 3, 6);
  StochasticBinarySequential module = gradthru::lab::module_of(net);
  const auto weights = gradthru::lab::layers_of(*module);
  const auto loss_at = [&](const Tensor& top) {
    return gradthru::nn::loss_of(net.loss, at::linear(top, weights[2].W, weights[2].b), net.y)
        .mean();
  };
  const auto check = [&](const char* spec, const Tensor& wanted) {
    const Tensor got = module->loss(net.x, net.y, parse_estimator(spec), {.key = kKey});
    EXPECT_NEAR(got.item<double>(), wanted.item<double>(), 1e-14) << spec;
    const auto parameters = module->parameters();
    const auto a = torch::autograd::grad({got}, parameters);
    const auto b = torch::autograd::grad({wanted}, parameters);
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-13) << spec;
  };
  const auto chain = [&](const auto& unit) {
    Tensor x = net.x;
    for (size_t l = 0; l < 2; ++l) x = unit(at::linear(x, weights[l].W, weights[l].b), l);
    return loss_at(x);
  };
  check("ap1", chain([](const Tensor& a, size_t) { return at::tanh(a / 2); }));
  check("tanh", chain([](const Tensor& a, size_t) { return at::tanh(a); }));
  // The logistic noise of the units, from the relaxation of a = 0 at temperature 1.
  const auto logistic = [&](const Tensor& a, size_t l) {
    const Tensor v = gradthru::sample_binary(
        at::zeros_like(a), gradthru::gumbel_softmax({.tau = 1.0, .hard = false}),
        {.coding = Coding::zero_one, .key = Key{kKey.seed, kKey.offset + l}});
    return at::logit(v).detach();
  };
  check("concrete(0.5)", chain([&](const Tensor& a, size_t l) {
          return at::tanh((a + logistic(a, l)) / (2 * 0.5));
        }));
}

TEST(Network, DrawsDoNotDependOnTheSplitOfTheBatch) {
  StochasticBinarySequential::ContainedType::Layers layers = {
      std::make_shared<StochasticBinaryConv2dImpl>(1, 3, std::array<int64_t, 2>{3, 3}),
      std::make_shared<StochasticBinaryConv2dImpl>(3, 2, std::array<int64_t, 2>{2, 2}),
      std::make_shared<StochasticBinaryLinearImpl>(2 * 3 * 3, 4)};
  const StochasticBinarySequential net(layers, 3);
  const Tensor x = at::randn({6, 1, 6, 6}), y = at::zeros({6}, at::kLong);
  const auto whole = net->sample(x, {.key = kKey});
  const auto part = net->sample(x.narrow(0, 2, 3), {.batch0 = 2, .key = kKey});
  for (size_t l = 0; l < layers.size(); ++l) {
    EXPECT_TRUE(at::equal(part[l].x, whole[l].x.narrow(0, 2, 3))) << l;
    EXPECT_FALSE(at::equal(part[l].x, whole[l].x.narrow(0, 0, 3))) << l;
  }
  for (const char* spec : {"psa", "arm", "local_reparam", "rloo(2)"}) {
    const Estimator e = parse_estimator(spec);
    double mean = 0;
    for (int64_t n = 0; n < 6; n += 2) {
      mean += net->loss(x.narrow(0, n, 2), y.narrow(0, n, 2), e, {.batch0 = n, .key = kKey})
                  .item<double>() /
              3;
    }
    EXPECT_NEAR(mean, net->loss(x, y, e, {.key = kKey}).item<double>(), 1e-5) << spec;
  }
}

TEST(Network, SaysHowManyOffsetsItUses) {
  const BinaryNetwork net = network({2, 3, 4, 3}, NetworkLoss::softmax_nll, Coding::zero_one, 2, 7);
  const StochasticBinarySequential module = gradthru::lab::module_of(net);
  const std::map<std::string, uint64_t> wanted = {
      {"psa", 2},   {"st", 2},       {"hard_st", 2},       {"reinforce", 2}, {"rloo(3)", 6},
      {"arm", 6},   {"ap1", 0},      {"tanh", 0},          {"ap2", 0},       {"local_reparam", 3},
      {"exact", 0}, {"concrete", 2}, {"gumbel_rao(4)", 10}};
  for (const auto& [spec, count] : wanted)
    EXPECT_EQ(module->offsets_used(parse_estimator(spec)), count) << spec;
}

/// One hidden layer of convolution units: psa is exact, st is not.
TEST(Network, PsaIsExactInAConvolutionalLayerBelowTheHead) {
  Random random(8);
  const auto conv = std::make_shared<StochasticBinaryConv2dImpl>(
      1, 2, std::array<int64_t, 2>{2, 2}, gradthru::ConvOptions{.stride = {2, 2}});
  StochasticBinarySequential net({conv}, 3, NetworkLoss::softmax_nll, 8);
  net->to(at::kDouble);
  {
    const at::NoGradGuard no_grad;
    net->weight.mul_(3);
  }
  const Tensor x = random.normal({1, 1, 4, 4}), y = at::ones({1}, at::kLong);
  const auto paths = all_paths({8}, Coding::plus_minus_one);
  Tensor objective;
  std::map<std::string, Tensor> mean;
  for (const auto& path : paths) {
    const Tensor state = path[0].reshape({1, 2, 2, 2});
    const Tensor a = conv->preactivation(x);
    const Tensor p = at::log_sigmoid(state * a).sum().exp();
    const Tensor eta = at::linear(state.flatten(1), net->weight, net->bias);
    const Tensor part = p * gradthru::nn::loss_of(NetworkLoss::softmax_nll, eta, y)[0];
    objective = objective.defined() ? objective + part : part;
    for (const char* spec : {"psa", "st"}) {
      const Tensor loss = net->loss(x, y, parse_estimator(spec),
                                    {.given = std::vector<Tensor>{state}, .key = kKey});
      const Tensor g = torch::autograd::grad({loss}, {conv->weight})[0] * p.detach();
      mean[spec] = mean[spec].defined() ? mean[spec] + g : g;
    }
  }
  const Tensor exact = torch::autograd::grad({objective}, {conv->weight})[0];
  EXPECT_LE((mean["psa"] - exact).norm().item<double>(), 1e-12 * exact.norm().item<double>());
  EXPECT_GE((mean["st"] - exact).norm().item<double>(), 1e-3 * exact.norm().item<double>());
}

TEST(Network, NormaliseGivesPreactivationsOfUnitVariance) {
  Random random(9);
  StochasticBinarySequential net(
      {std::make_shared<StochasticBinaryConv2dImpl>(2, 3, std::array<int64_t, 2>{3, 3}),
       std::make_shared<StochasticBinaryLinearImpl>(3 * 4 * 4, 5)},
      4);
  net->to(at::kDouble);
  const Tensor x = random.normal({40, 2, 6, 6}, 3);
  for (const Propagation rule : {Propagation::ap1, Propagation::tanh, Propagation::ap2}) {
    net->normalise(x, rule);
    const auto& layers = net->layers();
    const Tensor a = layers[0]->preactivation(x).detach();
    EXPECT_LE(a.mean({0, 2, 3}).abs().max().item<double>(), 1e-12);
    EXPECT_LE((a.var({0, 2, 3}, false) - 1).abs().max().item<double>(), 1e-12);
    auto units = layers[0]->moments({x, {}}, rule);
    const Tensor b = layers[1]->preactivation(units.mean.flatten(1)).detach();
    Tensor variance = b.var({0}, false);
    if (units.variance.defined())
      variance = variance + layers[1]->spread(units.variance.flatten(1)).detach().mean({0});
    EXPECT_LE(b.mean({0}).abs().max().item<double>(), 1e-12);
    EXPECT_LE((variance - 1).abs().max().item<double>(), 1e-12);
  }
  support::expect_refused([&] { net->normalise(x, Propagation::local_reparam); }, "no fixed");
}

// The defect of the released code, to be had on purpose: tanh(eta / 2) of each logit, its variance
// taken in.
TEST(Moments, SquashedHeadPutsTheLogitsThroughTheMapOfUnits) {
  const BinaryNetwork net =
      network({2, 4, 3, 3}, NetworkLoss::softmax_nll, Coding::plus_minus_one, 50, 10);
  const StochasticBinarySequential module = gradthru::lab::module_of(net);
  const auto loss = [&](const Estimator& e, bool squashed) {
    return module->loss(net.x, net.y, e, {.squashed_head = squashed, .key = kKey}).item<double>();
  };
  gradthru::nn::LayerMoments m{net.x, {}};
  for (const auto& layer : module->layers()) m = layer->moments(m, Propagation::ap2);
  const Tensor v = at::linear(m.variance, module->weight.square());
  const Tensor eta = at::linear(m.mean, module->weight, module->bias) /
                     (1 + 3 / (std::numbers::pi * std::numbers::pi) * v).sqrt();
  EXPECT_NEAR(loss(gradthru::ap2(), true),
              at::cross_entropy_loss((eta / 2).tanh(), net.y).item<double>(), 1e-12);
  const double squashed = loss(gradthru::local_reparam(), true);
  EXPECT_NE(squashed, loss(gradthru::local_reparam(), false));
  EXPECT_EQ(squashed, loss(gradthru::local_reparam(), true));
  EXPECT_EQ(loss(gradthru::ap1(), true), loss(gradthru::ap1(), false));
}

TEST(Evaluation, IsThatOfItsSamples) {
  const BinaryNetwork net =
      network({2, 4, 3, 3}, NetworkLoss::softmax_nll, Coding::plus_minus_one, 50, 10);
  const StochasticBinarySequential module = gradthru::lab::module_of(net);
  constexpr int64_t kSamples = 5;
  const NetworkOptions options{.one_flip_average = false, .key = kKey};
  const NetworkEvaluation got = module->evaluate(net.x, net.y, kSamples, options);
  double loss = 0, right = 0, entropy = 0;
  Tensor prediction = at::zeros({50, 3}, at::kDouble);
  for (int64_t s = 0; s < kSamples; ++s) {
    const Key key{kKey.seed, kKey.offset + static_cast<uint64_t>(2 * s)};
    const auto layers = module->sample(net.x, {.key = key});
    const at::NoGradGuard no_grad;
    const Tensor p = at::linear(layers[1].x, module->weight, module->bias).softmax(1);
    loss -= p.gather(1, net.y.unsqueeze(1)).log().mean().item<double>() / kSamples;
    right += (p.argmax(1) == net.y).to(at::kDouble).mean().item<double>() / kSamples;
    prediction += p;
    EXPECT_NEAR(got.acc_ens[static_cast<size_t>(s)],
                (prediction.argmax(1) == net.y).to(at::kDouble).mean().item<double>(), 1e-12);
    const Tensor q = layers[1].preactivation.sigmoid();
    entropy -= (q * q.log2() + (1 - q) * (1 - q).log2()).mean().item<double>() / kSamples;
  }
  EXPECT_NEAR(got.loss, loss, 1e-12);
  EXPECT_NEAR(got.acc1, right, 1e-12);
  EXPECT_NEAR(got.entropy[1], entropy, 1e-12);
  EXPECT_NEAR(got.mean_entropy(), (4 * got.entropy[0] + 3 * got.entropy[1]) / 7, 1e-12);
  NetworkEvaluation joined;
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 20}, {20, 30}}) {
    NetworkOptions part = options;
    part.batch0 = first;
    joined.add(module->evaluate(net.x.narrow(0, first, count), net.y.narrow(0, first, count),
                                kSamples, part));
  }
  EXPECT_EQ(joined.examples, 50);
  EXPECT_NEAR(joined.loss, got.loss, 1e-12);
  EXPECT_NEAR(joined.acc1, got.acc1, 1e-12);
  EXPECT_NEAR(joined.acc_ens.back(), got.acc_ens.back(), 1e-12);
  EXPECT_NEAR(joined.mean_entropy(), got.mean_entropy(), 1e-12);
}

TEST(Network, RefusesWhatDoesNotFit) {
  const BinaryNetwork net =
      network({2, 3, 4, 3}, NetworkLoss::softmax_nll, Coding::plus_minus_one, 2, 11);
  const StochasticBinarySequential module = gradthru::lab::module_of(net);
  const auto with = [&](const char* spec, const NetworkOptions& options = {}) {
    return [=] { module->loss(net.x, net.y, parse_estimator(spec), options); };
  };
  support::expect_refused(with("indecater"), "no form for networks");
  support::expect_refused(with("reinforce(baseline=moving)"), "needs its state");
  support::expect_refused(with("rloo(3,tau_f=0.5)"), "drawn at tau_f = 1");
  support::expect_refused(with("st(tau_f=1,tau_b=exp(1,0.5,50%))"), "scheduled temperature");
  support::expect_refused(
      with("arm", {.given = std::vector<Tensor>{at::ones({2, 3}), at::ones({2, 4})}}), "given");
  support::expect_refused([] { StochasticBinarySequential({}, 3); }, "at least one layer");
  const auto conv =
      std::make_shared<StochasticBinaryConv2dImpl>(1, 2, std::array<int64_t, 2>{2, 2});
  support::expect_refused([&] { StochasticBinarySequential({conv}, 3); }, "must be given");
  const StochasticBinarySequential of_conv({conv}, 3, NetworkLoss::softmax_nll, 8);
  support::expect_refused(
      [&] { of_conv->loss(at::ones({1, 1, 3, 3}), at::zeros({1}, at::kLong), gradthru::exact()); },
      "exact enumerates linear layers");
  const auto other = std::make_shared<StochasticBinaryLinearImpl>(3, 2, Coding::zero_one);
  support::expect_refused([&] { StochasticBinarySequential({conv, other}, 3); }, "one coding");
}

}  // namespace
