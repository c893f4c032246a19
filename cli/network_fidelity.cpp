#include "cli/network_fidelity.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <sstream>

#include "cli/columns.h"
#include "cli/fidelity_table.h"
#include "cli/network_plot.h"
#include "experiments/methods.h"
#include "report/chart.h"
#include "train/atomic_file.h"

namespace gradthru::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kShown[] = {1, 10, 100, 1000};  // numbers of estimates in the table

std::string how(const lab::NetworkFidelity& f) {
  return f.enumerated ? "enumerated" : "sampled";
}

/// The error of the mean of M estimates; NaN if there is none.
double error_at(const lab::LayerFidelity& layer, int64_t M) {
  for (const lab::AtSamples& at : layer.by_samples) {
    if (at.M == M) return at.relative_rmse;
  }
  return std::nan("");
}

Json layer_json(const lab::LayerFidelity& f) {
  const Json curve = by_samples_json(f.by_samples);
  Json layer = {{"gradient_norm", f.gradient_norm},
                {"relative_bias", f.relative_bias.value},
                {"relative_bias_95", json_of(f.relative_bias)},
                {"squared_relative_bias", f.squared_bias},
                {"cosine", f.cosine.value},
                {"cosine_95", json_of(f.cosine)},
                {"variance", f.variance},
                {"relative_rmse", curve[0]["relative_rmse"]},
                {"by_samples", curve}};
  return layer;
}

Json json_of(const lab::BinaryNetwork& network, const lab::NetworkMeasurement& measured) {
  Json results = Json::array();
  for (const lab::NetworkFidelity& f : measured.results) {
    Json layers = Json::array();
    for (const lab::LayerFidelity& layer : f.layers) layers.push_back(layer_json(layer));
    results.push_back({{"method", to_string(f.estimator)},
                       {"how", how(f)},
                       {"samples", f.samples},
                       {"layers", layers}});
  }
  return {{"network", network.name}, {"value", measured.exact.value}, {"results", results}};
}

}  // namespace

std::string network_line(const lab::BinaryNetwork& network, double expected_loss) {
  std::string text = network.name + ", " + std::to_string(network.x.size(1));
  for (const auto& layer : network.layers) text += "-" + std::to_string(layer.b.size(0));
  return text + " on " + std::to_string(network.x.size(0)) + " points, expected loss " +
         number_cell("%.8g", expected_loss);
}

std::vector<std::string> parametrisations(const std::vector<lab::NetworkFidelity>& results) {
  std::vector<std::string> lines;
  for (const lab::NetworkFidelity& f : results) {
    if (f.estimator.method != Method::concrete) continue;
    const double tau = f.estimator.tau_b.at(0);
    lines.push_back(to_string(f.estimator) + ": units sigmoid((a + L) / " + number_cell("%g", tau) +
                    ") in 0 and 1, which is tanh((a + L) / " + number_cell("%g", 2 * tau) +
                    ") in -1 and 1");
  }
  return lines;
}

std::vector<std::vector<std::string>> network_lines(
    const std::vector<lab::NetworkFidelity>& results) {
  std::vector<std::vector<std::string>> lines = {
      {"method", "layer", "how", "|g*|", "relative bias", "cosine", "variance"}};
  for (const int64_t M : kShown) {
    lines[0].push_back(M == 1 ? "relative RMSE" : "of " + std::to_string(M));
  }
  for (const lab::NetworkFidelity& f : results) {
    for (size_t l = 0; l < f.layers.size(); ++l) {
      const lab::LayerFidelity& layer = f.layers[l];
      lines.push_back({to_string(f.estimator), lab::layer_name(l, f.layers.size()), how(f),
                       number_cell("%.6g", layer.gradient_norm),
                       interval_cell(layer.relative_bias, f.enumerated),
                       interval_cell(layer.cosine, f.enumerated),
                       number_cell("%.4g", layer.variance)});
      for (const int64_t M : kShown) {
        lines.back().push_back(number_cell("%.4g", error_at(layer, M)));
      }
    }
  }
  return lines;
}

int network_fidelity(const NetworkRequest& request) {
  if (!request.plot.empty()) report::check_charts("--plot");
  if (request.methods.empty()) throw InvalidInput("--methods: wanted at least one method, got ''");
  const auto estimators = experiments::parse_constant_estimators("--methods", request.methods);
  const lab::BinaryNetwork network = lab::read_network(request.network);
  const lab::NetworkMeasurement measured = lab::measure(network, estimators, request.options);
  std::cout << network_line(network, measured.exact.value) << "\n\n"
            << in_columns(network_lines(measured.results));
  for (const std::string& line : parametrisations(measured.results)) std::cout << "\n" << line;
  if (!parametrisations(measured.results).empty()) std::cout << "\n";
  if (!request.json.empty()) {
    train::write_atomically(request.json, json_of(network, measured).dump(1) + "\n");
  }
  if (!request.plot.empty()) {
    train::write_atomically(request.plot, report::html(network_page(network, measured)));
  }
  return 0;
}

}  // namespace gradthru::cli
