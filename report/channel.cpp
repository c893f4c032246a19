#include "report/channel.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

namespace gradthru::report {
namespace {

using Json = nlohmann::json;

constexpr double kRounding = 1e-10;  // of the greatest value

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.3g", value);
  return buffer;
}

std::vector<std::string> keys_of(const Column& column) {
  if (column.low.empty()) return {column.key};
  return {column.key, column.low, column.high};
}

bool is_text(const Json& rows, const std::string& key) {
  return !rows.empty() && rows[0].at(key).is_string();
}

/// The finite numbers, ascending and each once.
std::vector<double> numbers(const Json& rows, const std::string& key) {
  std::set<double> all;
  for (const Json& row : rows) {
    const auto at = row.find(key);
    if (at != row.end() && at->is_number() && std::isfinite(at->get<double>())) {
      all.insert(at->get<double>());
    }
  }
  return {all.begin(), all.end()};
}

/// The greatest of 1, 2, 5, 10 ... that is not above the value; or the least not below.
double round_number(double value, bool up) {
  constexpr double kSlack = 1e-9;  // of powers of ten
  const double ten = std::pow(10, std::floor(std::log10(value) + kSlack));
  double last = ten;
  for (const double step : {1., 2., 5., 10.}) {
    if (up && step * ten >= value * (1 - kSlack)) return step * ten;
    if (!up && step * ten > value * (1 + kSlack)) return last;
    last = step * ten;
  }
  return last;
}

}  // namespace

Column log_column(const Json& rows, Column column, double rounding) {
  const std::vector<double> values = numbers(rows, column.key);
  if (!values.empty()) rounding = std::max(rounding, values.back() * kRounding);
  const auto least = std::upper_bound(values.begin(), values.end(), rounding);
  const double above = least != values.end() ? *least : rounding > 0 ? rounding : 1;
  column.log = true;
  column.floor = std::pow(10, std::floor(std::log10(above)));
  return column;
}

bool has_triangles(const Json& rows, const Column& column) {
  const std::vector<double> values = numbers(rows, column.key);
  return column.log && !values.empty() && values.front() < column.floor;
}

bool has_cut_intervals(const Json& rows, const Column& column) {
  if (!column.log || column.low.empty()) return false;
  return std::any_of(rows.begin(), rows.end(), [&](const Json& row) {
    const Json &value = row.at(column.key), &low = row.at(column.low);
    return value.is_number() && value >= column.floor && low < column.floor;
  });
}

std::string datum(const std::string& key) {
  return "datum['" + key + "']";
}

std::string shown(const Column& column, const std::string& key) {
  return column.log ? key + "_shown" : key;
}

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
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const std::string& key : keys_of(column)) {
    for (const double number : numbers(rows, key)) {
      const double value = column.log ? std::max(number, column.floor) : number;
      if (column.log && value <= 0) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (low > high) std::tie(low, high) = std::pair(column.log ? 0.1 : 0., 1.);
  if (column.log && !column.ticks) {
    low = round_number(low, false);
    high = round_number(high, true);
  }
  if (low == high) {
    const double half = low == 0 ? 0.5 : std::abs(low) / 2;
    low -= half;
    high += half;
  }
  if (column.log) return {{"type", "log"}, {"nice", false}, {"domain", {low, high}}};
  return {{"zero", false}, {"nice", true}, {"domain", {low, high}}};
}

Json position(const Json& rows, const Column& column) {
  if (is_text(rows, column.key)) {
    return {{"field", column.key}, {"type", "ordinal"}, {"title", column.title}, {"sort", nullptr}};
  }
  Json axis = {{"format", "~g"}, {"labelOverlap", true}};
  if (column.ticks) axis["values"] = numbers(rows, column.key);
  return {{"field", shown(column, column.key)},
          {"type", "quantitative"},
          {"title", column.title},
          {"scale", scale_of(rows, column)},
          {"axis", axis}};
}

Json colour_of(const Json& rows, const Series& series) {
  Json present = Json::array();
  for (const std::string& name : series.order) {
    const auto has = [&](const Json& row) { return row.at(series.key) == name; };
    if (std::any_of(rows.begin(), rows.end(), has)) present.push_back(name);
  }
  return {{"field", series.key},
          {"type", "nominal"},
          {"title", series.title},
          {"scale",
           {{"domain", series.order},
            {"scheme", series.order.size() > 10 ? "category20" : "category10"}}},
          {"legend",
           {{"values", present},
            {"labelLimit", 300},
            {"symbolType", "circle"},
            {"symbolOpacity", 1},
            {"columns", 1}}}};
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

}  // namespace gradthru::report
