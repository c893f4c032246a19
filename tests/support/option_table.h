#pragma once

#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// The table in docs/options.md: which estimator takes which option.
namespace support {

struct OptionTable {
  std::vector<std::string> options, estimators;
  std::map<std::string, std::map<std::string, std::string>> cells;  ///< estimator, option
};

/// The cells of "| a | b |" without blanks and back-quotes; none for another line.
inline std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  if (line.empty() || line[0] != '|') return cells;
  for (const char c : line) {
    if (c == '|') {
      cells.emplace_back();
    } else if (c != ' ' && c != '`') {
      cells.back() += c;
    }
  }
  cells.pop_back();  // nothing follows the last bar
  return cells;
}

/// Reads the one table whose first heading is `estimator`.
inline OptionTable read_option_table(const std::string& path) {
  std::ifstream file(path);
  OptionTable table;
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> cells = cells_of(line);
    if (cells.empty()) {
      if (!table.estimators.empty()) break;
      continue;
    }
    if (cells[0] == "estimator") {
      table.options.assign(cells.begin() + 1, cells.end());
    } else if (!table.options.empty() && cells[0].find("--") == std::string::npos) {
      if (cells.size() != table.options.size() + 1)
        throw std::runtime_error(path + ": a row of the wrong length: " + line);
      table.estimators.push_back(cells[0]);
      for (size_t i = 1; i < cells.size(); ++i)
        table.cells[cells[0]][table.options[i - 1]] = cells[i];
    }
  }
  if (table.estimators.empty()) throw std::runtime_error(path + ": no table of options");
  return table;
}

}  // namespace support
