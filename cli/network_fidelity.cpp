#include "cli/network_fidelity.h"

#include <ATen/ATen.h>

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "cli/columns.h"
#include "lab/network_exact.h"
#include "train/atomic_file.h"

namespace gradthru::cli {
namespace {

using Json = nlohmann::json;

/// One layer's figures: of the mean over all paths, and of one estimate.
struct LayerFigures {
  double gradient_norm, relative_bias, cosine, variance, relative_rmse;
};

LayerFigures figures(const lab::NetworkLayer& exact, const lab::NetworkLayer& mean,
                     double variance) {
  const at::Tensor g = lab::flat(exact), m = lab::flat(mean);
  const double length = g.norm().item<double>(), bias = (m - g).norm().item<double>();
  return {length, bias / length, (g.dot(m) / (g.norm() * m.norm())).item<double>(), variance,
          std::sqrt(bias * bias + variance) / length};
}

std::vector<lab::PathRule> parse_rules(const std::string& methods) {
  std::vector<lab::PathRule> rules;
  std::istringstream parts(methods);
  for (std::string name; std::getline(parts, name, ';');) {
    rules.push_back(lab::parse_path_rule(name));
  }
  if (rules.empty()) throw InvalidInput("--methods: wanted at least one method, got none");
  return rules;
}

std::string layer_name(size_t l, size_t layers) {
  return l + 1 == layers ? "head" : std::to_string(l + 1);
}

/// What the network is, in a line.
std::string headline(const lab::BinaryNetwork& network, double value) {
  std::string text = network.name + ", " + std::to_string(network.x.size(1));
  for (const auto& layer : network.layers) text += "-" + std::to_string(layer.b.size(0));
  std::ostringstream mean;
  mean.precision(8);
  mean << value;
  return text + " on " + std::to_string(network.x.size(0)) + " points, expected loss " + mean.str();
}

}  // namespace

int network_fidelity(const std::string& path, const std::string& methods, const std::string& json) {
  const auto rules = parse_rules(methods);
  const lab::BinaryNetwork network = lab::read_network(path);
  const lab::NetworkGradient exact = lab::exact_gradient(network);
  const size_t layers = network.layers.size();
  std::vector<std::vector<std::string>> lines = {
      {"method", "layer", "|g*|", "relative bias", "cosine", "variance", "relative RMSE"}};
  Json results = Json::array();
  for (const lab::PathRule rule : rules) {
    const lab::NetworkMoments moments = lab::path_moments(network, rule);
    Json of_layers = Json::array();
    for (size_t l = 0; l < layers; ++l) {
      const LayerFigures f = figures(exact.layers[l], moments.mean[l], moments.variance[l]);
      lines.push_back({std::string(to_string(rule)), layer_name(l, layers),
                       number_cell("%.6g", f.gradient_norm), number_cell("%.4g", f.relative_bias),
                       number_cell("%.6f", f.cosine), number_cell("%.4g", f.variance),
                       number_cell("%.4g", f.relative_rmse)});
      of_layers.push_back({{"gradient_norm", f.gradient_norm},
                           {"relative_bias", f.relative_bias},
                           {"cosine", f.cosine},
                           {"variance", f.variance},
                           {"relative_rmse", f.relative_rmse}});
    }
    results.push_back({{"method", to_string(rule)}, {"how", "enumerated"}, {"layers", of_layers}});
  }
  std::cout << headline(network, exact.value) << "\n\n" << in_columns(lines);
  if (!json.empty()) {
    const Json all = {{"network", network.name}, {"value", exact.value}, {"results", results}};
    train::write_atomically(json, all.dump(1) + "\n");
  }
  return 0;
}

}  // namespace gradthru::cli
