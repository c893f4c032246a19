#pragma once

#include <string>
#include <vector>

namespace gradthru::cli {

/// Lines of cells as text, each column as wide as its widest cell.
std::string in_columns(const std::vector<std::vector<std::string>>& lines);

/// The number in a printf format; a dash for a ratio that means nothing (NaN).
std::string number_cell(const char* format, double value);

}  // namespace gradthru::cli
