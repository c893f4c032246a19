#include "report/panels.h"

#include <algorithm>

#include "report/channel.h"

namespace gradthru::report {
namespace {

using Json = nlohmann::json;

constexpr int kRowWidth = 1000, kBetween = 90;  // pixels; the second is what axes take
constexpr int kHeight = 280;
constexpr int kMostInRow = 3;
constexpr int kLegendLetters = 110;  // in a row of the legend
constexpr const char* kPanel = "panel";

Json opacity(double picked, double other) {
  return {{"condition", {{"param", "picked"}, {"value", picked}}}, {"value", other}};
}

/// Only lines that are said to be longer have several points: one point is drawn as a dot.
bool has_single_points(const Panel& panel, const Series& series) {
  for (const std::string& name : series.order) {
    const auto is_of = [&](const Json& row) { return row.at(series.key) == name; };
    if (std::count_if(panel.rows.begin(), panel.rows.end(), is_of) == 1) return true;
  }
  return false;
}

Json rule_layers(const Panel& panel) {
  Json layers = Json::array();
  for (const Rule& rule : panel.rules) {
    const Json data = {{"values", Json::array({{{"value", rule.value}, {"label", rule.label}}})}};
    const Json y = {{"field", "value"}, {"type", "quantitative"}};
    layers.push_back(
        {{"data", data},
         {"mark", {{"type", "rule"}, {"strokeDash", {2, 3}}, {"color", "gray"}, {"clip", true}}},
         {"encoding", {{"y", y}}}});
    layers.push_back({{"data", data},
                      {"mark",
                       {{"type", "text"},
                        {"align", "right"},
                        {"baseline", "bottom"},
                        {"dy", -2},
                        {"color", "gray"},
                        {"clip", true}}},
                      {"encoding",
                       {{"y", y},
                        {"x", {{"value", "width"}}},
                        {"text", {{"field", "label"}, {"type", "nominal"}}}}}});
  }
  return layers;
}

/// Vega's own way with numbers where powers of ten are not needed.
Json axis_of(const Json& rows, const Column& column) {
  Json channel = position(rows, column);
  if (!column.log && channel.contains("axis")) channel["axis"].erase("format");
  return channel;
}

Json layers_of(const Panel& panel, const Series& series, Json colour) {
  Json at = {{"x", axis_of(panel.rows, panel.x)},
             {"y", axis_of(panel.rows, panel.y)},
             {"color", std::move(colour)}};
  Json& domain = at["y"]["scale"]["domain"];
  if (panel.low) domain[0] = *panel.low;
  if (panel.high) domain[1] = *panel.high;
  if (panel.low || panel.high) at["y"]["scale"]["nice"] = false;
  Json layers = Json::array();
  if (!panel.y.low.empty()) {
    Json band = at;
    band["y"]["field"] = shown(panel.y, panel.y.low);
    band["y2"] = {{"field", shown(panel.y, panel.y.high)}};
    band["opacity"] = opacity(panel.lines ? 0.15 : 0.6, 0.02);
    layers.push_back(
        {{"mark", {{"type", panel.lines ? "area" : "rule"}, {"clip", true}}}, {"encoding", band}});
  }
  Json line = at;
  line["opacity"] = opacity(1, 0.12);
  if (panel.lines) {
    layers.push_back({{"mark", {{"type", "line"}, {"clip", true}}}, {"encoding", line}});
  }
  const bool dots = panel.dots || !panel.lines || has_single_points(panel, series);
  if (!dots) line["opacity"] = {{"value", 0}};
  line["tooltip"] = tooltip_of(panel.rows, series, {panel.x, panel.y});
  layers.push_back(
      {{"mark",
        {{"type", "point"}, {"filled", true}, {"size", panel.lines ? 30 : 70}, {"clip", true}}},
       {"transform", not_below_floor(panel.y)},
       {"encoding", line}});
  for (Json& rule : rule_layers(panel)) layers.push_back(std::move(rule));
  return layers;
}

size_t longest(const Series& series) {
  size_t most = 1;
  for (const std::string& name : series.order) most = std::max(most, name.size());
  return most;
}

}  // namespace

Json panels(const std::vector<Panel>& all, const Series& series) {
  // Three in a row rather than two and a hole.
  const int count = static_cast<int>(all.size());
  const int columns = count == 1 ? 1 : count % 2 == 0 && count != 6 ? 2 : kMostInRow;
  Json rows = Json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    for (Json row : all[i].rows) {
      row[kPanel] = i;
      rows.push_back(std::move(row));
    }
  }
  Json colour = colour_of(rows, series);
  colour["legend"]["orient"] = "bottom";
  colour["legend"]["columns"] =
      std::clamp<size_t>(kLegendLetters / (longest(series) + 5), 1, series.order.size());
  Json concat = Json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    Json transforms = Json::array({{{"filter", datum(kPanel) + " === " + std::to_string(i)}}});
    add_shown(transforms, all[i].x);
    add_shown(transforms, all[i].y);
    Json panel = {{"width", kRowWidth / columns - kBetween * (columns - 1) / columns},
                  {"height", kHeight},
                  {"transform", transforms},
                  {"layer", layers_of(all[i], series, colour)}};
    if (!all[i].title.empty()) panel["title"] = {{"text", all[i].title}, {"anchor", "start"}};
    concat.push_back(std::move(panel));
  }
  // The first panel owns the selection, and all follow it.
  const Json picked = {{"name", "picked"},
                       {"select", {{"type", "point"}, {"fields", Json::array({series.key})}}},
                       {"bind", "legend"}};
  for (Json& layer : concat[0]["layer"]) {
    if (layer["mark"]["type"] == "point") layer["params"] = Json::array({picked});
  }
  return {{"data", {{"values", rows}}},
          {"concat", concat},
          {"columns", columns},
          {"resolve", {{"scale", {{"color", "shared"}}}}}};
}

}  // namespace gradthru::report
