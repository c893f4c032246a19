#include "report/chart.h"

#include <algorithm>
#include <cmath>

#include "report/channel.h"

namespace gradthru::report {
namespace {

using Json = nlohmann::json;

constexpr int kWidth = 600, kHeight = 320;
constexpr int kPanelWidth = 300, kLineHeight = 24;
constexpr int kTriangle = 8;  // pixels, of those on the edge
constexpr int kMap = 230, kMapsInLine = 3;
constexpr const char* kFrame = "#ff4d2e";  // stands out from every colour of the maps

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

bool is_finite(const Json& value) {
  return value.is_number() && std::isfinite(value.get<double>());
}

}  // namespace

std::string notes(const Json& rows, const std::vector<Column>& columns) {
  std::string all;
  for (const Column& column : columns) {
    if (has_triangles(rows, column)) {
      all += " Triangles: a " + column.title + " of zero, up to rounding.";
    }
    if (has_cut_intervals(rows, column)) {
      all += " Intervals that reach below " + Json(column.floor).dump() + " are cut there.";
    }
    const auto missing = [&](const Json& row) { return !is_finite(row.at(column.key)); };
    if (std::any_of(rows.begin(), rows.end(), missing)) {
      all += " Missing: a " + column.title + " that would be a ratio to zero.";
    }
  }
  return all;
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
      {"x", position(rows, x)}, {"y", position(rows, y)}, {"color", colour_of(rows, series)}};
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
    Json at = {{"x", position(rows, column)}, {"y", names}, {"color", colour_of(rows, series)}};
    at["color"]["legend"] = nullptr;
    at["x"]["scale"]["padding"] = kTriangle;
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
