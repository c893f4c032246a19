#include "lab/network.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/network_exact.h"
#include "support/refusal.h"

// Networks of binary layers: known answers, enumeration of whole paths, exactness, and files.
namespace {

using at::Tensor;
using gradthru::Coding;
using gradthru::Estimator;
using gradthru::Method;
using gradthru::lab::BinaryNetwork;
using gradthru::lab::exact_gradient;
using gradthru::lab::flat;
using gradthru::lab::NetworkLayer;
using gradthru::lab::NetworkLoss;
using gradthru::lab::parse_network;
using gradthru::lab::path_moments;
using Json = nlohmann::json;

/// The network 2-3-3-1 whose figures are known.
Json known_network() {
  return Json::parse(R"({
    "format": "gradthru-sbn", "version": 1, "coding": "pm1", "noise": "logistic",
    "layers": [
      {"W": [[0.8, -0.5], [0.3, 0.9], [-0.7, 0.4]], "b": [0.1, -0.2, 0.05]},
      {"W": [[0.6, -0.4, 0.5], [-0.3, 0.7, 0.2], [0.9, 0.1, -0.6]], "b": [0, 0.15, -0.1]},
      {"W": [[1, -0.8, 0.6]], "b": [0.2]}],
    "data": {"x": [[1, 0.5], [-0.5, 1], [0.25, -1], [-1.5, -0.25]], "y": [1, -1, 1, -1]},
    "loss": "logistic"})");
}

BinaryNetwork known() {
  return parse_network(known_network().dump(), "known");
}

using Layers = std::vector<NetworkLayer>;

std::vector<Estimator> path_rules() {
  return gradthru::parse_estimators("psa;st;hard_st;zgr;darn;reinforce;reinforce(baseline=0.7)");
}

double relative_bias(const Layers& mean, const Layers& exact, size_t l) {
  return ((flat(mean[l]) - flat(exact[l])).norm() / flat(exact[l]).norm()).item<double>();
}

double cosine(const Layers& a, const Layers& b, size_t l) {
  return (flat(a[l]).dot(flat(b[l])) / (flat(a[l]).norm() * flat(b[l]).norm())).item<double>();
}

/// A random network with these widths, from the inputs to the outputs.
BinaryNetwork random_network(const std::vector<int64_t>& widths, NetworkLoss loss, Coding coding) {
  BinaryNetwork net;
  net.coding = coding;
  net.loss = loss;
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    net.layers.push_back({at::randn({widths[l + 1], widths[l]}, at::kDouble),
                          at::randn({widths[l + 1]}, at::kDouble)});
  }
  const int64_t N = 2, outputs = widths.back();
  net.x = at::randn({N, widths[0]}, at::kDouble);
  net.y = loss == NetworkLoss::logistic      ? at::randint(0, 2, {N}).to(at::kDouble) * 2 - 1
          : loss == NetworkLoss::softmax_nll ? at::randint(0, outputs, {N}).to(at::kLong)
                                             : at::randn({N, outputs}, at::kDouble);
  return net;
}

TEST(KnownNetwork, HasItsExactGradient) {
  const auto exact = exact_gradient(known());
  EXPECT_NEAR(exact.value, 0.8152459404514978, 1e-14);
  const double b1[] = {0.003054570495150656, -0.0054899480606515096, -0.00010534254855499268};
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(exact.layers[0].b[i].item<double>(), b1[i], 1e-15);
  const double norms[] = {0.1339250866, 0.1175745015, 0.2297923263};
  for (size_t l = 0; l < 3; ++l)
    EXPECT_NEAR(flat(exact.layers[l]).norm().item<double>(), norms[l], 1e-10);
}

TEST(KnownNetwork, HasItsBiases) {
  struct Row {
    Estimator rule;
    double bias[2], cosine[2];
  };
  const Row rows[] = {{gradthru::st(), {.1191168160, .2438210803}, {.9981134, .9706172}},
                      {gradthru::psa(), {.0533711822, 0}, {.9992963, 1}},
                      {gradthru::zgr(), {.0519295011, .0442076350}, {.9999713, .9992390}}};
  for (const BinaryNetwork& net : {known(), recoded(known())}) {
    const bool pm1 = net.coding == Coding::plus_minus_one;
    EXPECT_NEAR(exact_gradient(net).value, 0.8152459404514978, 1e-14);
    const Layers exact = exact_gradient(net).layers;
    for (const Row& row : rows) {
      const Layers mean = path_moments(net, row.rule).mean;
      EXPECT_NEAR(relative_bias(mean, exact, 0), row.bias[0], 1e-9) << to_string(row.rule);
      EXPECT_NEAR(cosine(mean, exact, 0), row.cosine[0], 1e-7) << to_string(row.rule);
      EXPECT_LE(relative_bias(mean, exact, 2), 1e-15);
      if (!pm1) continue;  // the second layer has other parameters in the other coding
      EXPECT_NEAR(relative_bias(mean, exact, 1), row.bias[1], 1e-9) << to_string(row.rule);
      EXPECT_NEAR(cosine(mean, exact, 1), row.cosine[1], 1e-7) << to_string(row.rule);
    }
  }
}

TEST(Coding, ChangesTheParametersOnly) {
  const BinaryNetwork pm1 =
      random_network({2, 4, 3, 2}, NetworkLoss::softmax_nll, Coding::plus_minus_one);
  const BinaryNetwork zero_one = recoded(pm1);
  EXPECT_TRUE(at::allclose(recoded(zero_one).layers[1].b, pm1.layers[1].b, 1e-14));
  for (const Estimator& rule : path_rules()) {
    const Layers a = path_moments(pm1, rule).mean, b = path_moments(zero_one, rule).mean;
    EXPECT_LE((flat(a[0]) - flat(b[0])).abs().max().item<double>(), 1e-12) << to_string(rule);
    for (size_t l = 1; l < 3; ++l) {
      // dW01 = (dW + db) / 2, db01 = db, with respect to the weights of the coding.
      const Tensor expected = (a[l].W + a[l].b.unsqueeze(1)) / 2;
      EXPECT_LE((b[l].W - expected).abs().max().item<double>(), 1e-12) << to_string(rule);
      EXPECT_LE((b[l].b - a[l].b).abs().max().item<double>(), 1e-12);
    }
  }
}

TEST(ExactGradient, IsThatOfFiniteDifferences) {
  for (const NetworkLoss loss :
       {NetworkLoss::logistic, NetworkLoss::softmax_nll, NetworkLoss::squared}) {
    const int64_t outputs = loss == NetworkLoss::logistic ? 1 : 3;
    BinaryNetwork net = random_network({2, 3, 2, 4, outputs}, loss, Coding::zero_one);
    const auto exact = exact_gradient(net);
    for (size_t l = 0; l < net.layers.size(); ++l) {
      constexpr double kStep = 1e-5;
      const Tensor W = net.layers[l].W;
      net.layers[l].W = W.clone();
      net.layers[l].W[0][1] += kStep;
      const double up = exact_gradient(net).value;
      net.layers[l].W[0][1] -= 2 * kStep;
      const double down = exact_gradient(net).value;
      net.layers[l].W = W;
      EXPECT_NEAR(exact.layers[l].W[0][1].item<double>(), (up - down) / (2 * kStep), 1e-8);
    }
  }
}

// --- whole paths -----------------------------------------------------------------------------

double sigmoid(double a) {
  return 1 / (1 + std::exp(-a));
}

/// The first layer's gradient of one path for every point: its mean and variance, by following
/// every path of every point: two hidden layers, one unit at a time, from the definition.
struct OverPaths {
  Tensor mean;  ///< of the weights
  double variance;
};

OverPaths over_paths(const BinaryNetwork& net, const Estimator& rule) {
  const double k = net.coding == Coding::plus_minus_one ? 2 : 1;
  const auto coded = [&](const Tensor& s) { return k == 2 ? s : (s + 1) / 2; };
  const int64_t n1 = net.layers[0].b.size(0), n2 = net.layers[1].b.size(0), N = net.x.size(0);
  const auto signs = [](int64_t number, int64_t n) {
    Tensor s = at::empty({n}, at::kDouble);
    for (int64_t i = 0; i < n; ++i) s[i] = (number >> i) & 1 ? 1.0 : -1.0;
    return s;
  };
  const auto f = [&](const Tensor& s2, int64_t p) {
    const Tensor eta = net.layers[2].W.mv(coded(s2)) + net.layers[2].b;
    return net.loss_of(eta.view({1, -1}).expand({N, -1}))[p];
  };
  const auto slope = [&](double a, double s) {
    if (rule.method == Method::st) return k * sigmoid(a) * sigmoid(-a);
    if (rule.method == Method::zgr) return k / 2 * sigmoid(-s * a);
    if (rule.method == Method::darn) return k * std::pow(sigmoid(-s * a), 2);
    if (rule.method == Method::hard_st) return std::abs(a) < 1 ? k / 2 : 0.0;
    return s * sigmoid(a) * sigmoid(-a);
  };
  /// What unit j2 of the second layer hands to unit j1 of the first.
  const auto passed = [&](const Tensor& s1, const Tensor& s2, const Tensor& a2,
                          const Tensor& derivative, int64_t p, int64_t j1, int64_t j2) {
    const double a = a2[j2].item<double>(), s = s2[j2].item<double>();
    const double w = net.layers[1].W[j2][j1].item<double>();
    if (rule.method != Method::psa) return derivative[j2].item<double>() * slope(a, s) * w;
    Tensor flipped = s2.clone();
    flipped[j2] = -s;
    const double d = (f(s2, p) - f(flipped, p)).item<double>();
    return d * s * (sigmoid(a) - sigmoid(a - k * w * s1[j1].item<double>()));
  };
  Tensor sum = at::zeros_like(net.layers[0].W);
  double variance = 0;
  for (int64_t p = 0; p < N; ++p) {
    const Tensor a1 = net.layers[0].W.mv(net.x[p]) + net.layers[0].b;
    Tensor mean_a = at::zeros({n1}, at::kDouble);
    double squares = 0;
    for (int64_t c1 = 0; c1 < 1 << n1; ++c1) {
      const Tensor s1 = signs(c1, n1), a2 = net.layers[1].W.mv(coded(s1)) + net.layers[1].b;
      const double p1 = at::sigmoid(s1 * a1).prod().item<double>();
      for (int64_t c2 = 0; c2 < 1 << n2; ++c2) {
        const Tensor s2 = signs(c2, n2);
        const double weight = p1 * at::sigmoid(s2 * a2).prod().item<double>();
        Tensor x2 = s2.clone().requires_grad_();
        const Tensor derivative =
            torch::autograd::grad({f(x2, p)}, {x2})[0] * (2 / k);  // by the coded value
        Tensor grad_a = at::zeros({n1}, at::kDouble);
        for (int64_t j1 = 0; j1 < n1; ++j1) {
          const double a = a1[j1].item<double>(), s = s1[j1].item<double>();
          if (rule.method == Method::reinforce) {
            grad_a[j1] = (f(s2, p).item<double>() - rule.baseline) * s * sigmoid(-s * a);
            continue;
          }
          double signal = 0;
          for (int64_t j2 = 0; j2 < n2; ++j2) signal += passed(s1, s2, a2, derivative, p, j1, j2);
          grad_a[j1] = signal * slope(a, s);
        }
        mean_a += weight * grad_a;
        squares += weight * grad_a.square().sum().item<double>();
      }
    }
    sum += mean_a.unsqueeze(1) * net.x[p] / static_cast<double>(N);
    const double size = net.x[p].square().sum().item<double>() + 1;
    variance += (squares - mean_a.square().sum().item<double>()) * size;
  }
  return {sum, variance / static_cast<double>(N * N)};
}

TEST(ExpectedGradient, IsTheMeanOverPaths) {
  for (const Coding coding : {Coding::plus_minus_one, Coding::zero_one}) {
    const BinaryNetwork net = random_network({2, 2, 2, 2}, NetworkLoss::softmax_nll, coding);
    for (const Estimator& rule : path_rules()) {
      const auto got = path_moments(net, rule);
      const OverPaths expected = over_paths(net, rule);
      const double error = (got.mean[0].W - expected.mean).abs().max().item<double>();
      EXPECT_LE(error, 1e-13) << to_string(rule);
      // Zero where the hard tanh is flat at every point.
      EXPECT_NEAR(got.variance[0], expected.variance, 1e-10 * expected.variance + 1e-15)
          << to_string(rule);
    }
  }
}

// --- where rules are exact -------------------------------------------------------------------

TEST(Psa, IsExactInTheLastHiddenLayerAndNearerThanStraightThroughElsewhere) {
  double psa_sum = 0, st_sum = 0;
  int disagree = 0;
  constexpr int kNetworks = 24;
  for (int i = 0; i < kNetworks; ++i) {
    at::manual_seed(100 + i);
    const BinaryNetwork net =
        random_network({2, 4, 4, 4, 3}, i % 2 ? NetworkLoss::softmax_nll : NetworkLoss::squared,
                       i % 3 ? Coding::plus_minus_one : Coding::zero_one);
    const Layers exact = exact_gradient(net).layers;
    const Layers psa = path_moments(net, gradthru::psa()).mean;
    const Layers st = path_moments(net, gradthru::st()).mean;
    EXPECT_LE(relative_bias(psa, exact, 2), 1e-12);
    EXPECT_GE(relative_bias(st, exact, 2), 1e-3);
    for (size_t l = 0; l < 2; ++l) {
      psa_sum += relative_bias(psa, exact, l);
      st_sum += relative_bias(st, exact, l);
      disagree += relative_bias(psa, exact, l) > relative_bias(st, exact, l);
    }
  }
  EXPECT_LT(psa_sum, st_sum);
  RecordProperty("psa_worse_than_st_of_48", disagree);
}

TEST(Psa, IsExactWithOneHiddenLayerAndAboveTheFirstOneUnitEach) {
  for (const std::vector<int64_t>& widths :
       {std::vector<int64_t>{3, 5, 2}, std::vector<int64_t>{3, 5, 1, 1, 2}}) {
    const BinaryNetwork net =
        random_network(widths, NetworkLoss::softmax_nll, Coding::plus_minus_one);
    const Layers exact = exact_gradient(net).layers;
    const Layers psa = path_moments(net, gradthru::psa()).mean;
    for (size_t l = 0; l + 1 < net.layers.size(); ++l) {
      EXPECT_LE(relative_bias(psa, exact, l), 1e-12);
    }
  }
}

TEST(Reinforce, IsExactEverywhereAndSpreadsMost) {
  const BinaryNetwork net =
      random_network({2, 3, 4, 3, 2}, NetworkLoss::softmax_nll, Coding::plus_minus_one);
  const Layers exact = exact_gradient(net).layers;
  const auto reinforce = path_moments(net, gradthru::reinforce());
  const auto psa = path_moments(net, gradthru::psa());
  for (size_t l = 0; l < 4; ++l) EXPECT_LE(relative_bias(reinforce.mean, exact, l), 1e-12);
  for (size_t l = 0; l < 3; ++l) EXPECT_GT(reinforce.variance[l], psa.variance[l]);
  EXPECT_NEAR(reinforce.variance[3] / psa.variance[3], 1, 1e-12);
}

TEST(Moments, OfManyPointsAreThoseOfThePoints) {
  // More points than are worked on at once: the mean of a network with each point alone.
  BinaryNetwork net = random_network({2, 8, 7, 2}, NetworkLoss::squared, Coding::zero_one);
  net.x = at::randn({300, 2}, at::kDouble);
  net.y = at::randn({300, 2}, at::kDouble);
  const auto whole = path_moments(net, gradthru::psa());
  Tensor mean = at::zeros_like(net.layers[1].W);
  double variance = 0;
  for (const auto& [first, count] : {std::pair{0, 170}, std::pair{170, 130}}) {
    BinaryNetwork some = net;
    some.x = net.x.narrow(0, first, count);
    some.y = net.y.narrow(0, first, count);
    const auto part = path_moments(some, gradthru::psa());
    mean += part.mean[1].W * count / 300;
    variance += part.variance[1] * count * count / (300.0 * 300.0);
  }
  EXPECT_LE((whole.mean[1].W - mean).abs().max().item<double>(), 1e-13);
  EXPECT_NEAR(whole.variance[1] / variance, 1, 1e-12);
}

TEST(Zgr, IsHalfwayBetweenStraightThroughAndDarnInTheLastHiddenLayer) {
  const BinaryNetwork net = random_network({2, 4, 3, 2}, NetworkLoss::squared, Coding::zero_one);
  const Tensor zgr = flat(path_moments(net, gradthru::zgr()).mean[1]);
  const Tensor st = flat(path_moments(net, gradthru::st()).mean[1]);
  const Tensor darn = flat(path_moments(net, gradthru::darn()).mean[1]);
  EXPECT_LE((zgr - (st + darn) / 2).abs().max().item<double>(), 1e-13);
  EXPECT_GE((st - darn).abs().max().item<double>(), 1e-4);
  // The loss is quadratic in the last layer, where zgr is then exact.
  EXPECT_LE((zgr - flat(exact_gradient(net).layers[1])).abs().max().item<double>(), 1e-12);
}

// --- files -----------------------------------------------------------------------------------

TEST(NetworkFile, RefusesWhatIsWrongInOneLine) {
  const auto refused = [](const char* patch, const std::string& part) {
    Json json = known_network();
    json.merge_patch(Json::parse(patch));
    SCOPED_TRACE(patch);
    support::expect_refused([&] { parse_network(json.dump(), "net.json"); }, part);
  };
  refused(R"({"noise": "gaussian"})", "net.json: noise");
  refused(R"({"coding": "binary"})", "net.json: coding");
  refused(R"({"extra": 1})", "extra");
  refused(R"({"layers": [{"W": [[1, 2, 3]], "b": [0]}, {"W": [[1]], "b": [0]}]})",
          "layers[0].W must have 2 columns, as many as data.x, got 1x3");
  refused(R"({"layers": [{"W": [[1, 2]], "b": [0]}, {"W": [[1, 2]], "b": [0]}]})",
          "layers[1].W must have 1 columns, as many as the layer below has units, got 1x2");
  refused(R"({"layers": [{"W": [[1, 2]], "b": [0, 1]}, {"W": [[1]], "b": [0]}]})",
          "layers[0].b must have 1 numbers, got 2");
  refused(R"({"layers": [{"W": [[1]], "b": [0]}]})", "net.json: layers");
  refused(R"({"data": {"x": [[1, 2]], "y": [1, 1]}})", "data.y must have 1 targets");
  refused(R"({"data": {"x": [[1, 2]], "y": [0]}})", "data.y[0] must be -1 or 1, got 0");
  refused(R"({"data": {"x": [[1, 2]], "y": [[1]]}})", "data.y must hold numbers");
  refused(R"({"loss": "softmax_nll", "data": {"x": [[1, 2]], "y": [1]}})",
          "data.y[0] must be a class in [0, 0], got 1");
  refused(R"({"loss": "squared", "data": {"x": [[1, 2]], "y": [1]}})", "data.y must hold vectors");
  support::expect_refused([] { parse_network("{", "net.json"); }, "net.json: not JSON");
  std::string nan = known_network().dump();
  nan.replace(nan.find("0.8"), 3, "NaN");
  support::expect_refused([&] { parse_network(nan, "net.json"); }, "not JSON");
}

TEST(NetworkFile, SaysHowManyStatesAreTooMany) {
  Json json = known_network();
  json["layers"][0]["W"] = std::vector<std::vector<double>>(13, {1, 1});
  json["layers"][0]["b"] = std::vector<double>(13, 0);
  json["layers"][1] = {{"W", {std::vector<double>(13, 1)}}, {"b", {0}}};
  json["layers"][2] = {{"W", {{1}}}, {"b", {0}}};
  support::expect_refused([&] { parse_network(json.dump(), "net.json"); },
                          "layers[0]: 13 units have 8192 states; at most 12 units are enumerated");
}

}  // namespace
