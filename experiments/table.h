#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "train/summary.h"

namespace gradthru::experiments {

/// The table that closes a sweep: one line per grid point and method, each value as mean ± sample
/// standard deviation over seeds. Diverged runs are counted beside it, never averaged in.
class Table {
 public:
  explicit Table(std::vector<std::string> columns);

  void add(const std::string& point, const train::Summary& summary);
  void print(std::ostream& out) const;

 private:
  struct Line {
    std::string point, method;
    std::vector<train::Summary> runs;
    int diverged = 0;
  };

  std::string cell(const Line& line, const std::string& column) const;

  std::vector<std::string> columns_;
  std::vector<Line> lines_;
};

}  // namespace gradthru::experiments
