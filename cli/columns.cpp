#include "cli/columns.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace gradthru::cli {

std::string in_columns(const std::vector<std::vector<std::string>>& lines) {
  std::string table;
  for (const auto& line : lines) {
    for (size_t column = 0; column < line.size(); ++column) {
      size_t width = 0;
      for (const auto& other : lines) width = std::max(width, other[column].size());
      const bool last = column + 1 == line.size();
      table += line[column] + (last ? "\n" : std::string(width + 2 - line[column].size(), ' '));
    }
  }
  return table;
}

std::string number_cell(const char* format, double value) {
  if (std::isnan(value)) return "-";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

}  // namespace gradthru::cli
