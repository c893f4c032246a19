#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/report/plots.h"
#include "cli/report/text.h"

// Learning curves: metrics against epochs and against time.
namespace gradthru::cli {
namespace {

using experiments::Better;
using Json = nlohmann::json;
using report::Panel;

constexpr size_t kMostPoints = 200;  // of a line: more than a chart has room for
constexpr size_t kManyPoints = 25;   // of a line: from here on without dots
constexpr double kBeginning = 0.1;   // of a long training: its steep part is cut off

/// A point of a method's line.
struct Place {
  double epoch;
  Spread value, seconds;
};

using Line = std::map<int64_t, Place>;  // by step

Line line_of(const MethodRuns& method, const std::string& metric) {
  const size_t underscore = metric.find('_');
  const std::string split = metric.substr(0, underscore), name = metric.substr(underscore + 1);
  Line line;
  for (const Run* run : method.runs) {
    for (const auto& measured : run->lines) {
      if (measured.kind == train::Kind::probe || measured.kind == train::Kind::event) continue;
      if (train::to_string(measured.split) != split) continue;
      const auto value = number_in(measured, name);
      if (!value) continue;
      Place& place = line.try_emplace(measured.step, Place{measured.epoch, {}, {}}).first->second;
      place.value.add(*value);
      place.seconds.add(measured.wall_s);
    }
  }
  return line;
}

/// At most kMostPoints of them, evenly, with the last.
std::vector<const Place*> thinned(const Line& line) {
  std::vector<const Place*> all, kept;
  for (const auto& [step, place] : line) all.push_back(&place);
  const size_t every = (all.size() + kMostPoints - 1) / kMostPoints;
  for (size_t i = 0; i < all.size(); ++i) {
    if ((all.size() - 1 - i) % std::max<size_t>(every, 1) == 0) kept.push_back(all[i]);
  }
  return kept;
}

Json row_of(const std::string& method, const Place& place) {
  return {{"method", method},          {"epoch", place.epoch},   {"wall_s", place.seconds.mean},
          {"value", place.value.mean}, {"low", place.value.low}, {"high", place.value.high},
          {"seeds", place.value.n}};
}

/// What a chart shows of a metric: lines, and how long the longest is.
struct Lines {
  std::string metric;
  std::map<size_t, Line> of_method;
  size_t longest = 0;
  bool has_bands = false;
};

Lines lines_of(const Setting& setting, const std::string& metric) {
  Lines lines{metric, {}};
  for (size_t m = 0; m < setting.methods.size(); ++m) {
    Line line = line_of(setting.methods[m], metric);
    lines.longest = std::max(lines.longest, line.size());
    for (const auto& [step, place] : line) lines.has_bands |= place.value.n > 1;
    if (!line.empty()) lines.of_method[m] = std::move(line);
  }
  return lines;
}

/// The part of the values that is drawn: where a long training begins, all lines are steep, and
/// what sets them apart in the end would be one line.
void cut_beginning(Panel& panel, Better better) {
  double last_x = 0, low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Json& row : panel.rows) {
    last_x = std::max(last_x, row[panel.x.key].get<double>());
    low = std::min(low, row["low"].get<double>());
    high = std::max(high, row["high"].get<double>());
  }
  double late_low = std::numeric_limits<double>::infinity(), late_high = -late_low;
  for (const Json& row : panel.rows) {
    if (row[panel.x.key].get<double>() < kBeginning * last_x) continue;
    late_low = std::min(late_low, row["low"].get<double>());
    late_high = std::max(late_high, row["high"].get<double>());
  }
  for (const report::Rule& rule : panel.rules) {
    low = std::min(low, rule.value);
    late_low = std::min(late_low, rule.value);
    late_high = std::max(late_high, rule.value);
  }
  const double room = 0.05 * (late_high - late_low);
  if (better == Better::less && high > late_high + 4 * room) {
    panel.low = late_low - room;
    panel.high = late_high + room;
  } else if (better == Better::greater && low < late_low - 4 * room) {
    panel.low = late_low - room;
    panel.high = late_high + room;
  } else if (!panel.rules.empty()) {
    panel.low = std::min(low, late_low) - room;
    panel.high = std::max(high, late_high) + room;
  }
}

std::vector<report::Rule> rules_of(const Group& group, const Setting& setting,
                                   const std::string& metric) {
  std::vector<report::Rule> rules;
  const std::string name = metric.substr(metric.find('_') + 1);
  for (const auto& line : group.about.lines) {
    if (line.metric != name) continue;
    for (const MethodRuns& method : setting.methods) {
      if (method.runs.empty()) continue;
      if (experiments::has_settings(method.runs.front()->config, line.set)) {
        rules.push_back({line.value, line.label});
      }
      break;
    }
  }
  return rules;
}

Panel panel_of(const Group& group, const Setting& setting, const Lines& lines,
               const std::vector<size_t>& drawn, bool by_time) {
  const experiments::Quantity quantity = quantity_of(group, lines.metric);
  Panel panel{.title = title_of(group, lines.metric) + (by_time ? ", by time" : ""),
              .rows = Json::array(),
              .x = by_time ? report::Column{.key = "wall_s", .title = "seconds of training"}
                           : report::Column{.key = "epoch", .title = "epoch"},
              .y = {.key = "value", .title = quantity.title}};
  for (const size_t m : drawn) {
    const auto line = lines.of_method.find(m);
    if (line == lines.of_method.end()) continue;
    for (const Place* place : thinned(line->second)) {
      panel.rows.push_back(row_of(setting.methods[m].name, *place));
    }
  }
  panel.rows = rounded(panel.rows);
  if (lines.has_bands) std::tie(panel.y.low, panel.y.high) = std::pair("low", "high");
  panel.dots = lines.longest <= kManyPoints;
  panel.rules = rules_of(group, setting, lines.metric);
  if (quantity.log) {
    panel.y = report::log_column(panel.rows, panel.y);
    panel.rules.clear();
  } else if (lines.longest > kManyPoints || !panel.rules.empty()) {
    cut_beginning(panel, lines.longest > kManyPoints ? quantity.better : Better::neither);
  }
  // Six digits of the tooltip are enough; nothing reads these.
  for (Json& row : panel.rows) {
    row.erase(by_time ? "epoch" : "wall_s");
    row.erase("seeds");
  }
  return panel;
}

/// The metrics that are drawn: those the experiment names, or the main one on every split.
std::vector<std::string> drawn_metrics(const Group& group, const std::string& main) {
  std::vector<std::string> metrics = group.about.curves;
  if (metrics.empty()) {
    for (const char* split : {"test", "valid", "train"}) {
      metrics.push_back(std::string(split) + main.substr(main.find('_')));
    }
  }
  if (std::find(metrics.begin(), metrics.end(), main) == metrics.end()) {
    metrics.insert(metrics.begin(), main);
  }
  return metrics;
}

std::string caption_of(const std::vector<Panel>& panels, const Lines& main, const Setting& setting,
                       const std::vector<size_t>& drawn) {
  std::string caption = "Learning curves.";
  if (main.has_bands) {
    caption += " Lines: means over seeds; bands: from the lowest to the highest seed.";
  }
  caption += " A click on a name in the legend leaves that method alone.";
  const auto is_cut = [](const Panel& panel) { return panel.high && panel.rules.empty(); };
  if (std::any_of(panels.begin(), panels.end(), is_cut)) {
    caption += " The steep beginning of the training is cut off.";
  }
  if (main.longest > kMostPoints) {
    caption += " Of " + std::to_string(main.longest) + " points of a line at most " +
               std::to_string(kMostPoints) + " are drawn; the CSV file has all.";
  }
  return caption + left_out_note(setting, drawn);
}

}  // namespace

std::vector<Plot> learning_curves(const Group& group, const Setting& setting,
                                  const Ranking& ranking) {
  const auto drawn = drawn_methods(setting, ranking);
  std::vector<Panel> panels;
  Json rows = Json::array();
  Lines main;
  for (const std::string& metric : drawn_metrics(group, ranking.metric)) {
    Lines lines = lines_of(setting, metric);
    if (lines.longest < 2) continue;
    for (const auto& [m, line] : lines.of_method) {
      for (const auto& [step, place] : line) {
        Json row = row_of(setting.methods[m].name, place);
        row["metric"] = metric;
        row["step"] = step;
        rows.push_back(std::move(row));
      }
    }
    panels.push_back(panel_of(group, setting, lines, drawn, false));
    // Of a main metric that was measured at the end alone there is nothing to follow.
    if (metric == ranking.metric || main.longest == 0) main = std::move(lines);
  }
  if (panels.empty()) return {};
  if (main.longest > 1) panels.push_back(panel_of(group, setting, main, drawn, true));
  const std::string caption = caption_of(panels, main, setting, drawn);
  return {{"curves",
           {caption, report::panels(panels, series_of(setting, drawn))},
           std::move(rows),
           {"metric", "method", "step", "epoch", "wall_s", "value", "low", "high", "seeds"}}};
}

}  // namespace gradthru::cli
