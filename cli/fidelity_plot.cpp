#include "cli/fidelity_plot.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "cli/fidelity_table.h"
#include "gradthru/error.h"
#include "report/chart.h"

namespace gradthru::cli {
namespace {

using Json = nlohmann::json;
using report::Column;

constexpr const char* kSeries = "series";  // key of the method without what is swept
constexpr double kRounding = 1e-10;        // ratios below are zero
constexpr double kLogarithmic = 30;        // values that span more are on a logarithmic axis
constexpr const char* kLegend = " A click on a method in the legend singles it out.";

std::optional<double> number(const std::string& text) {
  double value{};
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc() && end == last ? std::optional(value) : std::nullopt;
}

/// Its values as numbers if all of them are, else as texts.
Json values_of(const SweepAxis& axis) {
  Json all = Json::array();
  for (const std::string& value : axis.values) {
    const auto n = number(value);
    if (!n) return axis.values;
    all.push_back(*n);
  }
  return all;
}

/// Numbers ascend.
Json order_of(const SweepAxis& axis) {
  Json values = values_of(axis);
  if (values[0].is_number()) std::sort(values.begin(), values.end());
  return values;
}

Column column_of(const SweepAxis& axis) {
  const Json order = order_of(axis);
  const bool log = order[0].is_number() && order[0] > 0 &&
                   order.back().get<double>() > kLogarithmic * order[0].get<double>();
  return {.key = axis.key, .title = axis.key, .log = log};
}

/// One row per result: the figures of --json, its series and its place on the axes.
Json rows_of(const Measured& m) {
  const Json figures = fidelity_json(m.problem, m.results).at("results");
  size_t points = 1;
  for (const SweepAxis& axis : m.axes) points *= axis.values.size();
  Json rows = Json::array();
  for (size_t i = 0; i < figures.size(); ++i) {
    Json row = {{kSeries, m.methods[i / points]}};
    for (const char* key :
         {"method", "tau_f", "how", "relative_bias", "cosine", "relative_std", "variance"}) {
      row[key] = figures[i].at(key);
    }
    for (const char* key : {"relative_bias", "cosine"}) {
      const Json& interval = figures[i].at(std::string(key) + "_95");
      row[std::string(key) + "_low"] = interval[0];
      row[std::string(key) + "_high"] = interval[1];
    }
    size_t rest = i % points;
    for (size_t a = m.axes.size(); a-- > 0;) {
      const size_t count = m.axes[a].values.size();
      row[m.axes[a].key] = values_of(m.axes[a])[rest % count];
      rest /= count;
    }
    rows.push_back(row);
  }
  return rows;
}

/// One row per method and number of samples.
Json rows_by_samples(const Measured& m) {
  const Json figures = fidelity_json(m.problem, m.results).at("results");
  Json rows = Json::array();
  for (size_t i = 0; i < figures.size(); ++i) {
    for (Json row : figures[i].at("by_samples")) {
      row[kSeries] = m.methods[i];
      rows.push_back(row);
    }
  }
  return rows;
}

bool sampled(const Measured& m) {
  return std::any_of(m.results.begin(), m.results.end(),
                     [](const lab::Fidelity& f) { return !f.enumerated; });
}

/// A column of ratios to the length of a gradient.
Column ratio_column(const Json& rows, const Column& column) {
  return report::log_column(rows, column, kRounding);
}

Column bias_column(const Measured& m, const Json& rows) {
  Column column{.key = "relative_bias", .title = "relative bias"};
  if (sampled(m)) {
    column.low = "relative_bias_low";
    column.high = "relative_bias_high";
  }
  return ratio_column(rows, column);
}

Column spread_column(const Json& rows) {
  return ratio_column(rows, {.key = "relative_std", .title = "relative std"});
}

Column cosine_column(const Measured& m) {
  if (!sampled(m)) return {.key = "cosine", .title = "cosine"};
  return {.key = "cosine", .title = "cosine", .low = "cosine_low", .high = "cosine_high"};
}

std::string intervals_note(const Measured& m) {
  return sampled(m) ? " Where a mean was sampled, its 95 % interval is shown." : "";
}

using Parts = decltype(report::Page::parts);

void add_at_once(const Measured& m, Parts& parts) {
  const report::Series series{kSeries, "method", m.methods};
  const Json rows = rows_of(m), curves = rows_by_samples(m);
  const Column bias = bias_column(m, rows), spread = spread_column(rows);
  parts.push_back(report::Heading{"Bias and spread"});
  parts.push_back(report::Chart{
      "How far the mean of the estimates is from the exact gradient, in units of its length; and "
      "how far one estimate is from the mean, in units of the mean's." +
          intervals_note(m) + report::notes(rows, {bias, spread}),
      report::points(rows, {bias, spread}, series)});
  parts.push_back(report::Heading{"The mean of M estimates"});
  const Column M{.key = "M", .title = "M, estimates in the mean", .log = true, .ticks = true};
  const Column error = ratio_column(curves, {.key = "relative_rmse", .title = "relative RMSE"});
  parts.push_back(report::Chart{
      "Root mean square error in units of the exact gradient's length: it falls with the variance "
      "until only the bias is left." +
          report::notes(curves, {error}) + kLegend,
      report::curves(curves, M, error, series)});
  Json cosines = Json::array();
  for (const Json& row : curves) {
    if (!row.at("cosine").is_null()) cosines.push_back(row);
  }
  if (cosines.empty()) return;
  parts.push_back(report::Chart{
      "Cosine between the mean of M estimates and the exact gradient, for the methods that were "
      "sampled: its mean, and the band from 15 to 85 % of the groups of M." +
          std::string(kLegend),
      report::curves(cosines, M,
                     {.key = "cosine", .title = "cosine", .low = "cosine_15", .high = "cosine_85"},
                     series)});
}

void add_curves(const Measured& m, Parts& parts) {
  const report::Series series{kSeries, "method", m.methods};
  const Json rows = rows_of(m);
  const Column x = column_of(m.axes[0]), bias = bias_column(m, rows), spread = spread_column(rows),
               variance = report::log_column(rows, {.key = "variance", .title = "variance"});
  const auto add = [&](const std::string& title, const std::string& caption, const Column& y) {
    parts.push_back(report::Heading{title + " over " + x.title});
    parts.push_back(report::Chart{caption + report::notes(rows, {y}) + kLegend,
                                  report::curves(rows, x, y, series)});
  };
  add("Relative bias",
      "How far the mean of the estimates is from the exact gradient, in units of its length." +
          intervals_note(m),
      bias);
  add("Cosine", "Between the mean of the estimates and the exact gradient." + intervals_note(m),
      cosine_column(m));
  add("Relative std",
      "How far one estimate is from the mean of the estimates, in units of the mean's length.",
      spread);
  add("Variance", "The trace of the covariance of one estimate.", variance);
}

void add_maps(const Measured& m, Parts& parts) {
  const report::Series series{kSeries, "method", m.methods};
  const Json rows = rows_of(m);
  const report::Grid grid{{.key = m.axes[0].key, .title = m.axes[0].key},
                          {.key = m.axes[1].key, .title = m.axes[1].key},
                          order_of(m.axes[0]),
                          order_of(m.axes[1])};
  const bool temperatures = m.axes[0].key.starts_with("tau") && m.axes[1].key.starts_with("tau");
  const std::string frames = temperatures ? " A frame: both temperatures are the same." : "";
  const Column bias = ratio_column(rows, {.key = "relative_bias", .title = "relative bias"}),
               spread = spread_column(rows), cosine{.key = "cosine", .title = "cosine"};
  const auto add = [&](const std::string& title, const std::string& caption, const Column& value) {
    parts.push_back(report::Heading{title + " over " + grid.x.title + " and " + grid.y.title});
    parts.push_back(report::Chart{caption + frames + report::notes(rows, {value}),
                                  report::heatmaps(rows, grid, value, series)});
  };
  add("Relative bias",
      "How far the mean of the estimates is from the exact gradient, in units of its length.",
      bias);
  add("Cosine", "Between the mean of the estimates and the exact gradient.", cosine);
  add("Relative std",
      "How far one estimate is from the mean of the estimates, in units of the mean's length.",
      spread);
}

}  // namespace

void check_plot(const std::vector<SweepAxis>& axes) {
  if (axes.size() > 2) {
    throw InvalidInput("--plot draws a sweep over one key or two, got " +
                       std::to_string(axes.size()));
  }
  report::check_charts("--plot");
}

report::Page fidelity_page(const Measured& m) {
  report::Page page{"Bias and variance of gradient estimators: " + m.problem.name, {}};
  page.parts.push_back(report::Paragraph{
      problem_line(m.problem) +
      ". Every estimator is set beside the exact gradient of the expectation under the law that "
      "it samples."});
  if (m.axes.empty()) add_at_once(m, page.parts);
  if (m.axes.size() == 1) add_curves(m, page.parts);
  if (m.axes.size() == 2) add_maps(m, page.parts);
  page.parts.push_back(report::Heading{"All figures"});
  page.parts.push_back(report::Table{fidelity_lines(m.results)});
  return page;
}

}  // namespace gradthru::cli
