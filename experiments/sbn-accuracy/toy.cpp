#include "experiments/sbn-accuracy/toy.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <numbers>
#include <string>

#include "lab/network_module.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using at::Tensor;

constexpr const char* kKnown = R"json({
  "format": "gradthru-sbn", "version": 1, "coding": "pm1", "noise": "logistic",
  "layers": [
    {"W": [[0.8, -0.5], [0.3, 0.9], [-0.7, 0.4]], "b": [0.1, -0.2, 0.05]},
    {"W": [[0.6, -0.4, 0.5], [-0.3, 0.7, 0.2], [0.9, 0.1, -0.6]], "b": [0, 0.15, -0.1]},
    {"W": [[1, -0.8, 0.6]], "b": [0.2]}],
  "data": {"x": [[1, 0.5], [-0.5, 1], [0.25, -1], [-1.5, -0.25]], "y": [1, -1, 1, -1]},
  "loss": "logistic"})json";

at::Generator generator_of(uint64_t seed, const char* stream) {
  return at::make_generator<at::CPUGeneratorImpl>(train::stream_seed(seed, stream));
}

/// Half of the points in the strip 0 < x2 < 1, the others below the arch x2 < cos x1.
void put_points(lab::BinaryNetwork& net, int64_t points, uint64_t seed) {
  at::Generator random = generator_of(seed, "data");
  const auto uniform = [&](double low, double high) {
    return low + (high - low) * at::rand({}, random, at::kDouble).item<double>();
  };
  std::vector<double> x, y;
  for (int64_t i = 0; i < points; ++i) {
    const bool strip = i < points / 2;
    const double x1 = uniform(-std::numbers::pi / 2, std::numbers::pi / 2);
    double x2 = strip ? uniform(0, 1) : uniform(-1, 1);
    while (!strip && x2 >= std::cos(x1)) x2 = uniform(-1, 1);
    x.insert(x.end(), {x1, x2});
    y.push_back(strip ? 1 : -1);
  }
  net.x = at::tensor(x, at::kDouble).view({points, 2});
  net.y = at::tensor(y, at::kDouble);
}

}  // namespace

lab::BinaryNetwork toy_network(const std::vector<int64_t>& hidden, int64_t points, uint64_t seed) {
  lab::BinaryNetwork net;
  net.name = "toy";
  net.coding = Coding::zero_one;
  net.loss = lab::NetworkLoss::logistic;
  put_points(net, points, seed);
  at::Generator random = generator_of(seed, "init");
  int64_t below = net.x.size(1);
  std::vector<int64_t> widths = hidden;
  widths.push_back(1);
  for (const int64_t width : widths) {
    net.layers.push_back({2 * at::rand({width, below}, random, at::kDouble) - 1,
                          2 * at::rand({width}, random, at::kDouble) - 1});
    below = width;
  }
  nn::StochasticBinarySequential module = lab::module_of(net);
  module->normalise(net.x, nn::Propagation::ap2);
  net.layers = lab::detached_layers_of(*module);
  return net;
}

lab::BinaryNetwork known_network() {
  return lab::parse_network(kKnown, "known");
}

}  // namespace gradthru::experiments
