#include "experiments/sbn-accuracy/probe.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using train::MetricLine;

/// Name, what is read of a layer.
using Figure = std::pair<std::string, double (*)(const lab::LayerFidelity&)>;

double error_at(const lab::LayerFidelity& layer, int64_t M) {
  for (const auto& at : layer.by_samples) {
    if (at.M == M) return at.relative_rmse;
  }
  return std::nan("");
}

/// The figures that stand in summaries and tables, too, as numbers.
constexpr const char* kSummarised[] = {"rel_bias", "rel_rmse", "rel_rmse_100"};

const std::vector<Figure>& figures() {
  static const std::vector<Figure> all = {
      {"gradient_norm", [](const lab::LayerFidelity& f) { return f.gradient_norm; }},
      {"rel_bias", [](const lab::LayerFidelity& f) { return f.relative_bias.value; }},
      {"squared_bias", [](const lab::LayerFidelity& f) { return f.squared_bias; }},
      {"cos", [](const lab::LayerFidelity& f) { return f.cosine.value; }},
      {"rel_rmse", [](const lab::LayerFidelity& f) { return error_at(f, 1); }},
      {"rel_rmse_100", [](const lab::LayerFidelity& f) { return error_at(f, 100); }},
      {"rel_rmse_1000", [](const lab::LayerFidelity& f) { return error_at(f, 1000); }},
  };
  return all;
}

/// A layer's curves over the number of estimates in the mean.
void add_curves(std::vector<train::Metric>& values, const lab::LayerFidelity& layer,
                const std::string& name) {
  std::vector<double> M, rmse, low, high, cosine, cosine_15, cosine_85;
  const double none = std::nan("");
  for (const auto& at : layer.by_samples) {
    M.push_back(static_cast<double>(at.M));
    rmse.push_back(at.relative_rmse);
    low.push_back(at.rmse_low.value_or(at.relative_rmse));
    high.push_back(at.rmse_high.value_or(at.relative_rmse));
    cosine.push_back(at.cosine.value_or(none));
    cosine_15.push_back(at.cosine_low.value_or(none));
    cosine_85.push_back(at.cosine_high.value_or(none));
  }
  values.push_back({"curve_" + name + "_m", M});
  values.push_back({"curve_" + name + "_rmse", rmse});
  values.push_back({"curve_" + name + "_rmse_low", low});
  values.push_back({"curve_" + name + "_rmse_high", high});
  values.push_back({"curve_" + name + "_cos", cosine});
  values.push_back({"curve_" + name + "_cos_15", cosine_15});
  values.push_back({"curve_" + name + "_cos_85", cosine_85});
}

/// A line with, for each figure, the list of all layers and a number for each; then the curves.
MetricLine line_of(const lab::BinaryNetwork& network, const lab::NetworkMeasurement& measured) {
  const lab::NetworkFidelity& f = measured.results.front();
  MetricLine line;
  line.kind = train::Kind::eval;
  line.split = train::Split::train;
  line.n = network.x.size(0);
  line.values.push_back({"expected_loss", measured.exact.value});
  if (f.estimator.method == Method::concrete) {
    // In 0 and 1 the units are sigmoid((a + L) / tau), in -1 and 1 tanh((a + L) / T).
    const double tau = f.estimator.tau_b.at(0);
    line.values.push_back({"concrete_tau", tau});
    line.values.push_back({"tanh_temperature", 2 * tau});
  }
  for (const auto& [name, read] : figures()) {
    std::vector<double> all;
    for (const auto& layer : f.layers) all.push_back(read(layer));
    line.values.push_back({name, all});
    if (std::find(std::begin(kSummarised), std::end(kSummarised), name) == std::end(kSummarised)) {
      continue;
    }
    for (size_t l = 0; l < all.size(); ++l) {
      line.values.push_back({name + "_" + lab::layer_name(l, all.size()), all[l]});
    }
  }
  for (size_t l = 0; l < f.layers.size(); ++l) {
    add_curves(line.values, f.layers[l], lab::layer_name(l, f.layers.size()));
  }
  line.note = f.enumerated ? "enumerated" : "sampled";
  return line;
}

}  // namespace

NetworkProbe::NetworkProbe(const RunPlan& plan) : estimator_(plan.estimator) {
  options_.samples = plan.config.integer("samples");
  options_.cosines = true;
  options_.key = train::stream_key(plan.seed, "probe");
}

train::EpochReport NetworkProbe::operator()(const lab::BinaryNetwork& network) const {
  const auto measured = lab::measure(network, {estimator_}, options_);
  return {{line_of(network, measured)}, measured.exact.value};
}

}  // namespace gradthru::experiments
