#include "cli/report/plots.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "cli/report/text.h"

namespace gradthru::cli {
namespace {

using Json = nlohmann::json;
using report::Column;

constexpr size_t kMostMethods = 12;  // lines that eyes can tell apart

/// Estimators that differ in their temperatures alone have the same of these.
Estimator without_temperatures(Estimator estimator) {
  estimator.tau_f = estimator.tau_b = 1;
  return estimator;
}

/// Rows of one heatmap: methods that fill a grid of temperatures.
struct TemperatureGrid {
  Json rows = Json::array();
  std::set<double> tau_f, tau_b;
  const Json* best = nullptr;
};

std::map<std::string, TemperatureGrid> temperature_grids(const Setting& setting,
                                                         const Ranking& ranking) {
  std::map<std::string, TemperatureGrid> grids;
  for (const size_t m : ranking.order) {
    const Estimator& e = setting.methods[m].estimator;
    if (!e.is_constant()) continue;
    const std::string family = to_string(without_temperatures(e));
    TemperatureGrid& grid = grids[family];
    grid.tau_f.insert(e.tau_f.start);
    grid.tau_b.insert(e.tau_b.start);
    grid.rows.push_back({{"family", family},
                         {"tau_f", e.tau_f.start},
                         {"tau_b", e.tau_b.start},
                         {"value", ranking.samples[m].mean()},
                         {"seeds", ranking.samples[m].size()}});
  }
  std::erase_if(grids, [](const auto& entry) {
    const TemperatureGrid& grid = entry.second;
    return grid.tau_f.size() < 2 || grid.tau_b.size() < 2 || grid.rows.size() < 4;
  });
  return grids;
}

/// Where the best point lies; rows come in the order of the ranking.
std::string where_best(const TemperatureGrid& grid) {
  const Json& best = grid.rows.front();
  const double f = best["tau_f"], b = best["tau_b"];
  const bool border = f == *grid.tau_f.begin() || f == *grid.tau_f.rbegin() ||
                      b == *grid.tau_b.begin() || b == *grid.tau_b.rbegin();
  return "The best point is tau_f = " + Json(f).dump() + ", tau_b = " + Json(b).dump() +
         (border ? ", on the border of the grid: a better one may lie outside." : ".");
}

}  // namespace

void Spread::add(double value) {
  low = n == 0 ? value : std::min(low, value);
  high = n == 0 ? value : std::max(high, value);
  mean += (value - mean) / static_cast<double>(++n);
}

Json rounded(Json rows) {
  for (Json& row : rows) {
    for (auto& [key, value] : row.items()) {
      if (!value.is_number_float()) continue;
      char text[32];
      std::snprintf(text, sizeof text, "%.6g", value.get<double>());
      value = std::strtod(text, nullptr);
    }
  }
  return rows;
}

std::vector<size_t> drawn_methods(const Setting& setting, const Ranking& ranking) {
  std::vector<size_t> drawn;
  for (size_t m = 0; m < setting.methods.size(); ++m) {
    if (!setting.methods[m].runs.empty()) drawn.push_back(m);
  }
  if (drawn.size() <= kMostMethods) return drawn;
  drawn = ranking.order;
  drawn.resize(std::min(drawn.size(), kMostMethods));
  std::sort(drawn.begin(), drawn.end());
  return drawn;
}

std::string left_out_note(const Setting& setting, const std::vector<size_t>& drawn) {
  const auto all = std::count_if(setting.methods.begin(), setting.methods.end(),
                                 [](const MethodRuns& method) { return !method.runs.empty(); });
  if (static_cast<size_t>(all) <= drawn.size()) return "";
  return " Only the best " + std::to_string(drawn.size()) + " of " + std::to_string(all) +
         " methods are drawn; the CSV file beside this page has all of them.";
}

report::Series series_of(const Setting& setting, const std::vector<size_t>& drawn) {
  report::Series series{"method", "method", {}};
  for (const size_t m : drawn) series.order.push_back(setting.methods[m].name);
  return series;
}

std::optional<double> number_in(const train::MetricLine& line, const std::string& name) {
  for (const train::Metric& metric : line.values) {
    const double* number = std::get_if<double>(&metric.value);
    if (metric.name == name && number != nullptr && std::isfinite(*number)) return *number;
  }
  return std::nullopt;
}

std::vector<Plot> heatmap_plots(const Group& group, const Setting& setting,
                                const Ranking& ranking) {
  std::vector<Plot> plots;
  for (const auto& [family, grid] : temperature_grids(setting, ranking)) {
    const experiments::Quantity quantity = quantity_of(group, ranking.metric);
    Column value{.key = "value", .title = quantity.title};
    const Json rows = rounded(grid.rows);
    const report::Grid axes{{.key = "tau_f", .title = "tau_f (forward)"},
                            {.key = "tau_b", .title = "tau_b (backward)"},
                            Json(grid.tau_f),
                            Json(grid.tau_b)};
    const std::string caption =
        title_of(group, ranking.metric) + " of " + family +
        " over its two temperatures, mean over seeds. Frames: both temperatures are the same. " +
        where_best(grid);
    plots.push_back({"heatmap-" + family,
                     {caption, report::heatmaps(rows, axes, value, {"family", "method", {family}})},
                     grid.rows,
                     {"family", "tau_f", "tau_b", "value", "seeds"}});
  }
  return plots;
}

std::vector<Plot> list_plots(const Group& group, const Setting& setting, const Ranking& ranking) {
  std::vector<Plot> plots;
  const auto drawn = drawn_methods(setting, ranking);
  for (const auto& list : group.about.lists) {
    const size_t underscore = list.metric.find('_');
    const std::string split = list.metric.substr(0, underscore);
    const std::string name = list.metric.substr(underscore + 1);
    Json rows = Json::array();
    for (const size_t m : drawn) {
      std::map<size_t, Spread> over_seeds;
      for (const Run* run : setting.methods[m].runs) {
        const std::vector<double>* last = nullptr;
        for (const auto& line : run->lines) {
          if (train::to_string(line.split) != split) continue;
          for (const auto& metric : line.values) {
            const auto* values = std::get_if<std::vector<double>>(&metric.value);
            if (metric.name == name && values != nullptr) last = values;
          }
        }
        for (size_t i = 0; last != nullptr && i < last->size(); ++i) {
          if (std::isfinite((*last)[i])) over_seeds[i + 1].add((*last)[i]);
        }
      }
      for (const auto& [x, at] : over_seeds) {
        rows.push_back({{"method", setting.methods[m].name},
                        {"x", x},
                        {"value", at.mean},
                        {"low", at.low},
                        {"high", at.high},
                        {"seeds", at.n}});
      }
    }
    if (rows.empty()) continue;
    const std::string title = title_of(group, list.metric);
    const report::Panel panel{.rows = rounded(rows),
                              .x = {.key = "x", .title = list.x},
                              .y = {.key = "value", .title = title, .low = "low", .high = "high"}};
    plots.push_back({name,
                     {title + " by the " + list.x + "." + left_out_note(setting, drawn),
                      report::panels({panel}, series_of(setting, drawn))},
                     rows,
                     {"method", "x", "value", "low", "high", "seeds"}});
  }
  return plots;
}

}  // namespace gradthru::cli
