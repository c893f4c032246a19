#include <algorithm>
#include <cmath>
#include <set>

#include "cli/report/plots.h"
#include "cli/report/text.h"

// Charts about gradients: what was measured of estimators while something trained.
namespace gradthru::cli {
namespace {

using Json = nlohmann::json;
using report::Panel;

/// Figures of probed estimators: name of the figure → estimator → epoch.
using Probed = std::map<std::string, std::map<std::string, std::map<double, Spread>>>;

Probed probed_in(const MethodRuns& method) {
  Probed probed;
  for (const Run* run : method.runs) {
    for (const auto& line : run->lines) {
      if (line.kind != train::Kind::probe) continue;
      const std::string estimator = line.note.empty() ? method.name : line.note;
      for (const auto& metric : line.values) {
        if (const auto value = number_in(line, metric.name)) {
          probed[metric.name][estimator][line.epoch].add(*value);
        }
      }
    }
  }
  return probed;
}

/// Where each method was probed about itself alone, one chart shows all of them.
std::map<std::string, Probed> probed_by_chart(const Setting& setting) {
  std::map<std::string, Probed> charts;
  for (const MethodRuns& method : setting.methods) {
    const Probed probed = probed_in(method);
    bool own = true;
    for (const auto& [name, estimators] : probed) {
      own &= estimators.size() == 1 && estimators.begin()->first == to_string(method.estimator);
    }
    for (const auto& [name, estimators] : probed) {
      for (const auto& [estimator, places] : estimators) {
        charts[own ? "" : method.name][name][own ? method.name : estimator] = places;
      }
    }
  }
  return charts;
}

Json rows_of(const std::map<std::string, std::map<double, Spread>>& estimators) {
  Json rows = Json::array();
  for (const auto& [estimator, places] : estimators) {
    for (const auto& [epoch, at] : places) {
      rows.push_back({{"method", estimator},
                      {"epoch", epoch},
                      {"value", at.mean},
                      {"low", at.low},
                      {"high", at.high},
                      {"seeds", at.n}});
    }
  }
  return rows;
}

bool has_bands(const Json& rows) {
  return std::any_of(rows.begin(), rows.end(), [](const Json& row) { return row["seeds"] > 1; });
}

report::Column column_of(const Group& group, const std::string& name, const Json& rows) {
  const auto quantity = quantity_of(group, "train_" + name);
  report::Column column{.key = "value", .title = quantity.title};
  if (has_bands(rows)) std::tie(column.low, column.high) = std::pair("low", "high");
  return quantity.log ? report::log_column(rows, column) : column;
}

/// Bias against spread after the last epoch: a method wants to be at the bottom left.
std::optional<Panel> plane(const Group& group, const Probed& probed) {
  const auto bias = probed.find("rel_bias"), spread = probed.find("rel_std");
  if (bias == probed.end() || spread == probed.end()) return std::nullopt;
  Panel panel{.title = "bias and spread after the last epoch",
              .rows = Json::array(),
              .x = {.key = "rel_bias", .title = quantity_of(group, "train_rel_bias").title},
              .y = {.key = "rel_std", .title = quantity_of(group, "train_rel_std").title},
              .lines = false};
  for (const auto& [estimator, places] : bias->second) {
    const auto other = spread->second.find(estimator);
    if (other == spread->second.end()) continue;
    panel.rows.push_back({{"method", estimator},
                          {"rel_bias", places.rbegin()->second.mean},
                          {"rel_std", other->second.rbegin()->second.mean}});
  }
  if (panel.rows.size() < 2) return std::nullopt;
  panel.rows = rounded(panel.rows);
  panel.x = report::log_column(panel.rows, panel.x);
  panel.y = report::log_column(panel.rows, panel.y);
  return panel;
}

/// Zeros stand on the floor of a logarithmic scale in a line, without a mark of their own.
std::string floor_note(const std::vector<Panel>& panels) {
  for (const Panel& panel : panels) {
    if (report::has_triangles(panel.rows, panel.y) || report::has_triangles(panel.rows, panel.x)) {
      return " What is zero up to rounding stands at the edge of a logarithmic scale.";
    }
  }
  return "";
}

std::vector<std::string> names_of(const Group& group, const Probed& probed) {
  std::vector<std::string> names;
  for (const std::string& name : group.about.probes) {
    if (probed.contains(name)) names.push_back(name);
  }
  if (!names.empty()) return names;
  for (const auto& [name, estimators] : probed) names.push_back(name);
  return names;
}

Plot probe_plot(const Group& group, const std::string& trained, const Probed& probed) {
  std::vector<Panel> panels;
  std::set<std::string> estimators;
  Json all = Json::array();
  for (const auto& [name, found] : probed) {
    for (Json row : rows_of(found)) {
      row["figure"] = name;
      all.push_back(std::move(row));
    }
    for (const auto& [estimator, places] : found) estimators.insert(estimator);
  }
  bool bands = false;
  for (const std::string& name : names_of(group, probed)) {
    const Json rows = rounded(rows_of(probed.at(name)));
    Panel panel{.title = quantity_of(group, "train_" + name).title,
                .rows = rows,
                .x = {.key = "epoch", .title = "epoch"},
                .y = column_of(group, name, rows)};
    panel.dots = rows.size() / probed.at(name).size() <= 25;
    bands |= has_bands(rows);
    panels.push_back(std::move(panel));
  }
  if (auto points = plane(group, probed)) panels.push_back(std::move(*points));
  const report::Series series{"method", "estimator", {estimators.begin(), estimators.end()}};
  std::string caption = "Gradients of the estimators";
  if (!trained.empty()) caption += " while " + trained + " trains";
  caption += bands ? "; lines: means over seeds, bands: lowest to highest seed." : ".";
  return {trained.empty() ? "probe" : "probe-" + trained,
          {caption + floor_note(panels), report::panels(panels, series)},
          all,
          {"figure", "method", "epoch", "value", "low", "high", "seeds"}};
}

/// A curve over the number of samples that are averaged: `curve_<layer>_<what>` at one epoch.
struct SampleCurve {
  std::string layer;
  std::map<double, Spread> rmse, cosine;
};

const std::vector<double>* numbers_in(const train::MetricLine& line, const std::string& name) {
  for (const auto& metric : line.values) {
    if (metric.name == name) return std::get_if<std::vector<double>>(&metric.value);
  }
  return nullptr;
}

void add(std::map<double, Spread>& to, const std::vector<double>* m,
         const std::vector<double>* values) {
  for (size_t i = 0; m != nullptr && values != nullptr && i < std::min(m->size(), values->size());
       ++i) {
    if (std::isfinite((*values)[i])) to[(*m)[i]].add((*values)[i]);
  }
}

/// Epoch → layer → method.
using SampleCurves = std::map<double, std::map<std::string, std::map<std::string, SampleCurve>>>;

SampleCurves sample_curves_of(const Setting& setting) {
  constexpr std::string_view kStart = "curve_", kEnd = "_m";
  SampleCurves curves;
  for (const MethodRuns& method : setting.methods) {
    for (const Run* run : method.runs) {
      for (const auto& line : run->lines) {
        for (const auto& metric : line.values) {
          const std::string& name = metric.name;
          if (!name.starts_with(kStart) || !name.ends_with(kEnd)) continue;
          const std::string stem = name.substr(0, name.size() - kEnd.size());
          const std::string layer = stem.substr(kStart.size());
          SampleCurve& curve = curves[line.epoch][layer][method.name];
          const auto* m = numbers_in(line, name);
          add(curve.rmse, m, numbers_in(line, stem + "_rmse"));
          add(curve.cosine, m, numbers_in(line, stem + "_cos"));
        }
      }
    }
  }
  return curves;
}

Json rows_of(const std::map<std::string, SampleCurve>& methods, bool cosine) {
  Json rows = Json::array();
  for (const auto& [method, curve] : methods) {
    for (const auto& [samples, at] : cosine ? curve.cosine : curve.rmse) {
      rows.push_back({{"method", method}, {"samples", samples}, {"value", at.mean}});
    }
  }
  return rows;
}

Plot sample_plot(const SampleCurves::value_type& at, const report::Series& series, bool cosine) {
  std::vector<Panel> panels;
  Json all = Json::array();
  for (const auto& [layer, methods] : at.second) {
    const Json rows = rows_of(methods, cosine);
    for (Json row : rows) {
      row["layer"] = layer;
      all.push_back(std::move(row));
    }
    Panel panel{.title = layer == "head" ? "head" : "layer " + layer, .rows = rounded(rows)};
    panel.dots = false;
    panel.x = report::log_column(panel.rows, {.key = "samples", .title = "samples averaged, M"});
    panel.y = {.key = "value",
               .title = cosine ? "cosine with the exact gradient" : "relative error"};
    if (!cosine) panel.y = report::log_column(panel.rows, panel.y, 1e-6);
    panels.push_back(std::move(panel));
  }
  const std::string epoch = Json(at.first).dump();
  const std::string caption =
      cosine ? "Cosine between the mean of M samples and the exact gradient, epoch " + epoch + "."
             : "Distance of the mean of M samples to the exact gradient, relative to its length, "
               "epoch " +
                   epoch + ". A line that turns level has come down to its bias.";
  return {(cosine ? "cosine-by-samples-" : "error-by-samples-") + epoch,
          {caption + floor_note(panels), report::panels(panels, series)},
          all,
          {"layer", "method", "samples", "value"}};
}

}  // namespace

std::vector<Plot> probe_plots(const Group& group, const Setting& setting) {
  std::vector<Plot> plots;
  for (const auto& [trained, probed] : probed_by_chart(setting)) {
    plots.push_back(probe_plot(group, trained, probed));
  }
  return plots;
}

std::vector<Plot> sample_curves(const Group&, const Setting& setting) {
  std::vector<Plot> plots;
  report::Series series{"method", "method", {}};
  for (const MethodRuns& method : setting.methods) series.order.push_back(method.name);
  for (const auto& at : sample_curves_of(setting)) {
    plots.push_back(sample_plot(at, series, false));
    plots.push_back(sample_plot(at, series, true));
  }
  return plots;
}

}  // namespace gradthru::cli
