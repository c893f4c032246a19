#include "cli/network_plot.h"

#include "cli/network_fidelity.h"
#include "report/chart.h"

namespace gradthru::cli {
namespace {

using Json = nlohmann::json;
using report::Column;

constexpr const char* kSeries = "method";
constexpr double kRounding = 1e-10;  // ratios below are zero
constexpr const char* kLegend = " A click on a method in the legend singles it out.";

/// One row per method and number of estimates.
Json rows_of(const lab::NetworkMeasurement& measured, size_t l) {
  Json rows = Json::array();
  for (const lab::NetworkFidelity& f : measured.results) {
    for (const lab::AtSamples& at : f.layers[l].by_samples) {
      Json row = {{kSeries, to_string(f.estimator)},
                  {"M", at.M},
                  {"relative_rmse", at.relative_rmse},
                  {"low", at.rmse_low.value_or(at.relative_rmse)},
                  {"high", at.rmse_high.value_or(at.relative_rmse)}};
      if (at.cosine) {
        row["cosine"] = *at.cosine;
        row["cosine_15"] = *at.cosine_low;
        row["cosine_85"] = *at.cosine_high;
      } else if (f.samples == 0 && f.layers[l].variance == 0) {
        // Every estimate is the same.
        for (const char* key : {"cosine", "cosine_15", "cosine_85"}) {
          row[key] = f.layers[l].cosine.value;
        }
      }
      rows.push_back(row);
    }
  }
  return rows;
}

Json with_cosine(const Json& rows) {
  Json some = Json::array();
  for (const Json& row : rows) {
    if (row.contains("cosine") && !row["cosine"].is_null()) some.push_back(row);
  }
  return some;
}

std::string title_of(size_t l, size_t layers) {
  const bool head = l + 1 == layers;
  return head ? "Head"
              : (l + 2 == layers ? "Last hidden layer, " : "Layer ") + lab::layer_name(l, layers);
}

}  // namespace

report::Page network_page(const lab::BinaryNetwork& network,
                          const lab::NetworkMeasurement& measured) {
  report::Page page{"Gradients of a stochastic binary network: " + network.name, {}};
  page.parts.push_back(report::Paragraph{
      network_line(network, measured.exact.value) +
      ". An estimate is one draw of the noise for each point, averaged over the points; the "
      "gradient of a layer is that of its weights and bias."});
  for (const auto& line : parametrisations(measured.results)) {
    page.parts.push_back(report::Paragraph{line + "."});
  }
  report::Series series{kSeries, "method", {}};
  for (const auto& f : measured.results) series.order.push_back(to_string(f.estimator));
  const Column M{.key = "M", .title = "M, estimates in the mean", .log = true};
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const Json rows = rows_of(measured, l), cosines = with_cosine(rows);
    const Column error = report::log_column(
        rows, {.key = "relative_rmse", .title = "relative RMSE", .low = "low", .high = "high"},
        kRounding);
    page.parts.push_back(report::Heading{title_of(l, network.layers.size())});
    page.parts.push_back(report::Chart{
        "Root mean square error of the mean of M estimates, in units of the exact gradient's "
        "length; where it was sampled, over disjoint groups of M with a 95 % interval." +
            report::notes(rows, {error}) + kLegend,
        report::curves(rows, M, error, series)});
    if (cosines.empty()) continue;
    const Column cosine{
        .key = "cosine", .title = "cosine", .low = "cosine_15", .high = "cosine_85"};
    page.parts.push_back(report::Chart{
        "Cosine between the mean of M estimates and the exact gradient: its mean over disjoint "
        "groups of M, and the band from 15 to 85 % of them." +
            std::string(kLegend),
        report::curves(cosines, M, cosine, series)});
  }
  page.parts.push_back(report::Heading{"All figures"});
  page.parts.push_back(report::Table{network_lines(measured.results)});
  return page;
}

}  // namespace gradthru::cli
