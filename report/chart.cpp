#include "report/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace gradthru::report {
namespace {

using Json = nlohmann::json;

constexpr double kRounding = 1e-10;
constexpr int kWidth = 600, kHeight = 320;
constexpr int kPanelWidth = 300, kLineHeight = 24;
constexpr int kMap = 230, kMapsInLine = 3;
constexpr const char* kFrame = "#ff4d2e";  // stands out from every colour of the maps

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.3g", value);
  return buffer;
}

std::string datum(const std::string& key) {
  return "datum['" + key + "']";
}

std::string shown(const Column& column, const std::string& key) {
  return column.log ? key + "_shown" : key;
}

std::vector<std::string> keys_of(const Column& column) {
  if (column.low.empty()) return {column.key};
  return {column.key, column.low, column.high};
}

bool is_text(const Json& rows, const std::string& key) {
  return !rows.empty() && rows[0].at(key).is_string();
}

/// Numbers that JSON can hold.
std::vector<double> numbers(const Json& rows, const std::string& key) {
  std::vector<double> all;
  for (const Json& row : rows) {
    const auto at = row.find(key);
    if (at != row.end() && at->is_number() && std::isfinite(at->get<double>())) {
      all.push_back(at->get<double>());
    }
  }
  return all;
}

/// <key>_shown: the values, none below the floor.
void add_shown(Json& transforms, const Column& column) {
  if (!column.log) return;
  for (const std::string& key : keys_of(column)) {
    const std::string value = datum(key);
    transforms.push_back({{"calculate", "isValid(" + value + ") ? max(" + value + ", " +
                                            text(column.floor) + ") : null"},
                          {"as", shown(column, key)}});
  }
}

Json below_floor(const Column& column) {
  return Json::array({{{"filter", "isValid(" + datum(column.key) + ") && " + datum(column.key) +
                                      " < " + text(column.floor)}}});
}

Json not_below_floor(const Column& column) {
  if (!column.log) return Json::array();
  return Json::array({{{"filter", datum(column.key) + " >= " + text(column.floor)}}});
}

Json scale_of(const Json& rows, const Column& column) {
  if (!column.log) return {{"zero", false}};
  Json scale = {{"type", "log"}};
  if (has_triangles(rows, column)) scale["domainMin"] = column.floor;
  return scale;
}

/// The channel of a position.
Json position(const Json& rows, const Column& column) {
  if (is_text(rows, column.key)) {
    return {{"field", column.key}, {"type", "ordinal"}, {"title", column.title}, {"sort", nullptr}};
  }
  Json axis = {{"format", "~g"}, {"labelOverlap", true}};
  return {{"field", shown(column, column.key)},
          {"type", "quantitative"},
          {"title", column.title},
          {"scale", scale_of(rows, column)},
          {"axis", axis}};
}

Json colour_of(const Series& series) {
  return {{"field", series.key},
          {"type", "nominal"},
          {"title", series.title},
          {"scale",
           {{"domain", series.order},
            {"scheme", series.order.size() > 10 ? "category20" : "category10"}}},
          {"legend",
           {{"labelLimit", 300}, {"symbolType", "circle"}, {"symbolOpacity", 1}, {"columns", 1}}}};
}

Json tooltip_of(const Json& rows, const Series& series, const std::vector<Column>& columns) {
  Json all = Json::array({{{"field", series.key}, {"type", "nominal"}, {"title", series.title}}});
  for (const Column& column : columns) {
    for (const std::string& key : keys_of(column)) {
      const std::string end = key == column.low ? ", from" : key == column.high ? ", to" : "";
      Json line = {{"field", key}, {"title", column.title + end}, {"type", "nominal"}};
      if (!is_text(rows, key)) {
        line.update({{"type", "quantitative"}, {"formatType", "number"}, {"format", ".4~g"}});
      }
      all.push_back(line);
    }
  }
  return all;
}

Json triangles(const Json& encoding, const Column& column) {
  return {{"mark",
           {{"type", "point"},
            {"shape", "triangle-down"},
            {"filled", true},
            {"size", 90},
            {"opacity", 1}}},
          {"transform", below_floor(column)},
          {"encoding", encoding}};
}

}  // namespace

Column log_column(const Json& rows, std::string key, std::string title, std::string low,
                  std::string high) {
  const std::vector<double> values = numbers(rows, key);
  const double greatest = values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  double least = std::numeric_limits<double>::infinity();
  for (const double value : values) {
    if (value > greatest * kRounding) least = std::min(least, value);
  }
  const double floor = std::isfinite(least) ? std::pow(10, std::floor(std::log10(least))) : 1;
  return {std::move(key), std::move(title), true, floor, std::move(low), std::move(high)};
}

bool has_triangles(const Json& rows, const Column& column) {
  const std::vector<double> values = numbers(rows, column.key);
  return column.log && std::any_of(values.begin(), values.end(),
                                   [&](double value) { return value < column.floor; });
}

Json curves(const Json& rows, const Column& x, const Column& y, const Series& series) {
  Json transforms = Json::array();
  add_shown(transforms, x);
  add_shown(transforms, y);
  // A click on the legend leaves one line.
  const auto opacity = [](double picked, double other) {
    return Json{{"condition", {{"param", "picked"}, {"value", picked}}}, {"value", other}};
  };
  const Json at = {
      {"x", position(rows, x)}, {"y", position(rows, y)}, {"color", colour_of(series)}};
  Json layers = Json::array();
  if (!y.low.empty()) {
    Json band = at;
    band["y"]["field"] = shown(y, y.low);
    band["y2"] = {{"field", shown(y, y.high)}};
    band["opacity"] = opacity(0.13, 0.02);
    layers.push_back({{"mark", {{"type", "area"}}}, {"encoding", band}});
  }
  Json line = at;
  line["opacity"] = opacity(1, 0.12);
  layers.push_back(
      {{"mark", {{"type", "line"}}},
       {"params",
        Json::array({{{"name", "picked"},
                      {"select", {{"type", "point"}, {"fields", Json::array({series.key})}}},
                      {"bind", "legend"}}})},
       {"encoding", line}});
  line["tooltip"] = tooltip_of(rows, series, {x, y});
  layers.push_back({{"mark", {{"type", "point"}, {"filled", true}, {"size", 30}}},
                    {"transform", not_below_floor(y)},
                    {"encoding", line}});
  if (has_triangles(rows, y)) layers.push_back(triangles(line, y));
  return {{"width", kWidth},
          {"height", kHeight},
          {"data", {{"values", rows}}},
          {"transform", transforms},
          {"layer", layers}};
}

Json points(const Json& rows, const std::vector<Column>& columns, const Series& series) {
  Json transforms = Json::array(), panels = Json::array();
  for (const Column& column : columns) {
    add_shown(transforms, column);
    Json names = {{"field", series.key},
                  {"type", "nominal"},
                  {"title", nullptr},
                  {"sort", series.order},
                  {"axis", {{"labelLimit", 300}, {"grid", true}}}};
    if (!panels.empty()) names["axis"] = {{"labels", false}, {"ticks", false}, {"grid", true}};
    Json at = {{"x", position(rows, column)}, {"y", names}, {"color", colour_of(series)}};
    at["color"]["legend"] = nullptr;
    Json layers = Json::array();
    if (!column.low.empty()) {
      Json range = at;
      range["x"]["field"] = shown(column, column.low);
      range["x2"] = {{"field", shown(column, column.high)}};
      layers.push_back({{"mark", {{"type", "rule"}, {"strokeWidth", 2}}}, {"encoding", range}});
    }
    at["tooltip"] = tooltip_of(rows, series, {column});
    layers.push_back({{"mark", {{"type", "point"}, {"filled", true}, {"size", 70}, {"opacity", 1}}},
                      {"transform", not_below_floor(column)},
                      {"encoding", at}});
    if (has_triangles(rows, column)) layers.push_back(triangles(at, column));
    panels.push_back(
        {{"width", kPanelWidth}, {"height", {{"step", kLineHeight}}}, {"layer", layers}});
  }
  return {{"data", {{"values", rows}}}, {"transform", transforms}, {"hconcat", panels}};
}

Json heatmaps(const Json& rows, const Grid& grid, const Column& value, const Series& series) {
  Json transforms = Json::array();
  add_shown(transforms, value);
  const auto axis = [](const Column& column, const Json& order) {
    return Json{
        {"field", column.key},
        {"type", "ordinal"},
        {"title", column.title},
        {"sort", order},
        {"axis",
         {{"labelExpr", "isNumber(datum.value) ? format(datum.value, '.3~g') : datum.value"},
          {"labelOverlap", true},
          {"labelAngle", 0}}}};
  };
  Json upwards = Json::array();
  for (auto y = grid.y_order.rbegin(); y != grid.y_order.rend(); ++y) upwards.push_back(*y);
  const Json at = {{"x", axis(grid.x, grid.x_order)},
                   {"y", axis(grid.y, upwards)},
                   {"tooltip", tooltip_of(rows, series, {grid.x, grid.y, value})}};
  Json cell = at;
  cell["color"] = {{"field", shown(value, value.key)},
                   {"type", "quantitative"},
                   {"title", value.title},
                   {"scale", scale_of(rows, value)},
                   {"legend", {{"format", "~g"}, {"gradientLength", kMap}}}};
  cell["color"]["scale"]["scheme"] = "viridis";
  const std::string x = datum(grid.x.key), y = datum(grid.y.key), v = datum(value.key);
  Json layers = Json::array({{{"mark", {{"type", "rect"}}}, {"encoding", cell}}});
  layers.push_back(
      {{"mark", {{"type", "rect"}, {"filled", false}, {"stroke", kFrame}, {"strokeWidth", 2}}},
       {"transform", Json::array({{{"filter", "isNumber(" + x + ") && " + x + " === " + y}}})},
       {"encoding", at}});
  layers.push_back({{"mark", {{"type", "text"}, {"text", "–"}, {"color", "gray"}}},
                    {"transform", Json::array({{{"filter", "!isValid(" + v + ")"}}})},
                    {"encoding", at}});
  if (has_triangles(rows, value)) {
    Json below = triangles(at, value);
    below["mark"]["color"] = "white";
    layers.push_back(below);
  }
  return {{"data", {{"values", rows}}},
          {"transform", transforms},
          {"facet",
           {{"field", series.key},
            {"type", "nominal"},
            {"title", nullptr},
            {"sort", series.order},
            {"header", {{"labelLimit", kMap}, {"labelFontSize", 12}}}}},
          {"columns", std::min<int>(kMapsInLine, static_cast<int>(series.order.size()))},
          {"spec", {{"width", kMap}, {"height", kMap}, {"layer", layers}}}};
}

}  // namespace gradthru::report
