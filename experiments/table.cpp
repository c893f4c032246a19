#include "experiments/table.h"

#include <algorithm>
#include <cmath>
#include <ostream>

namespace gradthru::experiments {
namespace {

/// Width on screen: the bytes of a character beyond its first one take no place.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, width_of(text)), ' ');
}

}  // namespace

Table::Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}

void Table::add(const std::string& point, const train::Summary& summary) {
  auto line = std::find_if(lines_.begin(), lines_.end(), [&](const Line& candidate) {
    return candidate.point == point && candidate.method == summary.method;
  });
  if (line == lines_.end()) line = lines_.insert(lines_.end(), {point, summary.method, {}, 0});
  if (summary.status == train::Status::complete) {
    line->runs.push_back(summary);
  } else {
    ++line->diverged;
  }
}

std::string Table::cell(const Line& line, const std::string& column) const {
  std::vector<double> values;
  for (const auto& run : line.runs) {
    for (const auto& [name, value] : run.final_values) {
      if (name == column) values.push_back(value);
    }
  }
  if (values.empty()) return "-";
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  std::string text = train::readable(mean);
  if (values.size() > 1) {
    const double sd = std::sqrt(squares / static_cast<double>(values.size() - 1));
    char digits[32];  // two: a deviation from a few seeds is worth no more
    std::snprintf(digits, sizeof digits, sd >= 10 ? "%.0f" : "%.2g", sd);
    text += std::string(" ± ") + digits;
  }
  return text;
}

void Table::print(std::ostream& out) const {
  std::vector<std::vector<std::string>> rows = {{"method", "seeds"}};
  const bool has_points =
      std::any_of(lines_.begin(), lines_.end(), [](const Line& l) { return !l.point.empty(); });
  std::vector<std::string> shown;
  for (const auto& column : columns_) {
    const bool any = std::any_of(lines_.begin(), lines_.end(),
                                 [&](const Line& line) { return cell(line, column) != "-"; });
    if (any) shown.push_back(column);
  }
  rows[0].insert(rows[0].end(), shown.begin(), shown.end());
  if (has_points) rows[0].insert(rows[0].begin(), "grid point");
  for (const auto& line : lines_) {
    std::vector<std::string> row = {line.method, std::to_string(line.runs.size())};
    if (line.diverged > 0) row[1] += " (+" + std::to_string(line.diverged) + " diverged)";
    for (const auto& column : shown) row.push_back(cell(line, column));
    if (has_points) row.insert(row.begin(), line.point);
    rows.push_back(row);
  }
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  out << "\n";
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string text;
    for (size_t i = 0; i < rows[r].size(); ++i) text += padded(rows[r][i], widths[i] + 2);
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << "\n";
    if (r == 0) {
      std::string rule;
      for (const size_t width : widths) rule += std::string(width, '-') + "  ";
      out << rule.substr(0, rule.size() - 2) << "\n";
    }
  }
}

}  // namespace gradthru::experiments
