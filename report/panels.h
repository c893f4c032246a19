#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "report/chart.h"

// Several charts of the same series beside one another, under one legend.
namespace gradthru::report {

/// A value to compare with: a dotted line across the panel.
struct Rule {
  double value;
  std::string label;
};

struct Panel {
  std::string title{};
  nlohmann::json rows{};  ///< as for curves()
  Column x{}, y{};
  bool lines = true;            ///< or only points
  bool dots = true;             ///< along the lines; without them a tooltip still finds the values
  std::optional<double> low{};  ///< where y begins; what lies beyond is cut off
  std::optional<double> high{};
  std::vector<Rule> rules{};
};

/// Two or three panels in a row; a click on the legend leaves one series.
nlohmann::json panels(const std::vector<Panel>& all, const Series& series);

}  // namespace gradthru::report
