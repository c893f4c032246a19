#include "cli/bench_table.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

namespace gradthru::cli {
namespace {

using Row = std::vector<std::string>;

constexpr const char* kNothing = "–";

/// Heading, and the baseline whose ratio the column shows.
const std::vector<std::pair<std::string, std::string>> kAlways = {
    {"usual ÷ ours", "usual"}, {"gumbel_softmax ÷ ours", "eager"}, {"ours ÷ floor", "floor"}};
const std::vector<std::pair<std::string, std::string>> kSometimes = {
    {"ours ÷ two clones", "clones"}, {"1 thread ÷ ours", "ours, 1 thread"}};

std::string formatted(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string number(double value) {
  return formatted(value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
}

std::string duration(double seconds) {
  if (seconds >= 1) return formatted("%.3g s", seconds);
  if (seconds >= 1e-3) return formatted("%.3g ms", seconds * 1e3);
  return formatted("%.3g µs", seconds * 1e6);
}

std::string ratio(const BenchCell& cell, const std::string& baseline) {
  const auto found = cell.ratios.find(baseline);
  if (found == cell.ratios.end()) return kNothing;
  const auto& [low, median, high] = found->second;
  return number(median) + " [" + number(low) + ", " + number(high) + "]";
}

std::string peaks(const BenchCell& cell) {
  if (cell.memory.empty()) return kNothing;
  std::string text;
  for (const char* name : {"ours", "usual", "eager"}) {
    const auto found = cell.memory.find(name);
    text += text.empty() ? "" : " / ";
    text += found == cell.memory.end() ? kNothing : number(found->second);
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> columns(const std::vector<BenchCell>& cells) {
  auto chosen = kAlways;
  for (const auto& column : kSometimes) {
    const bool present = std::any_of(cells.begin(), cells.end(), [&](const BenchCell& cell) {
      return cell.ratios.contains(column.second);
    });
    if (present) chosen.push_back(column);
  }
  return chosen;
}

/// Width on screen: the bytes of a character beyond its first one take no place.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string aligned(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      text += row[i] + (last ? "\n" : std::string(widths[i] - width_of(row[i]) + 2, ' '));
    }
  }
  return text;
}

}  // namespace

std::string bench_table(const std::vector<BenchCell>& cells) {
  const auto chosen = columns(cells);
  std::vector<Row> rows = {{"shape", "estimator", "ours"}};
  for (const auto& column : chosen) rows.front().push_back(column.first);
  rows.front().insert(rows.front().end(), {"memory", "n"});
  for (const BenchCell& cell : cells) {
    const auto ours = cell.seconds.find("ours");
    const bool timed = ours != cell.seconds.end();
    Row row = {cell.shape, cell.estimator,
               timed ? duration(bench::spread_of(ours->second).median) : kNothing};
    for (const auto& column : chosen) row.push_back(ratio(cell, column.second));
    row.push_back(peaks(cell));
    row.push_back(std::to_string(timed ? ours->second.size() : 0));
    rows.push_back(std::move(row));
  }
  return aligned(rows);
}

nlohmann::json bench_json(const std::vector<BenchCell>& cells) {
  auto all = nlohmann::json::array();
  for (const BenchCell& cell : cells) {
    auto ratios = nlohmann::json::object();
    for (const auto& [name, spread] : cell.ratios) {
      ratios[name] = {{"low", spread.low}, {"median", spread.median}, {"high", spread.high}};
    }
    all.push_back({{"shape", cell.shape},
                   {"estimator", cell.estimator},
                   {"seconds", cell.seconds},
                   {"ratios", ratios},
                   {"memory", cell.memory},
                   {"failures", cell.failures}});
  }
  return all;
}

}  // namespace gradthru::cli
