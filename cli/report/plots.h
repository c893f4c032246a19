#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/report/comparison.h"
#include "report/page.h"
#include "report/panels.h"

// The charts of a report. All figures of a method are means over its seeds.
namespace gradthru::cli {

/// A chart with its rows in all digits, for a file of its own.
struct Plot {
  std::string name;  ///< of the file, without ending
  report::Chart chart;
  nlohmann::json rows;
  std::vector<std::string> columns;  ///< of the file: those that come first
};

/// Each may be empty, where the runs have nothing of the kind.
std::vector<Plot> learning_curves(const Group& group, const Setting& setting,
                                  const Ranking& ranking);
std::vector<Plot> list_plots(const Group& group, const Setting& setting, const Ranking& ranking);
std::vector<Plot> heatmap_plots(const Group& group, const Setting& setting, const Ranking& ranking);
std::vector<Plot> probe_plots(const Group& group, const Setting& setting);
std::vector<Plot> gap_plots(const Group& group, const Setting& setting);
std::vector<Plot> sample_curves(const Group& group, const Setting& setting);

// --- what they are made of
// ------------------------------------------------------------------------

/// Values of one quantity over seeds at one place.
struct Spread {
  double mean = 0, low = 0, high = 0;
  size_t n = 0;
  void add(double value);
};

/// Numbers with six digits: a page need not be longer than what a chart can show.
nlohmann::json rounded(nlohmann::json rows);

/// The names of the methods whose lines a chart draws: the best ones where there are many.
std::vector<size_t> drawn_methods(const Setting& setting, const Ranking& ranking);

/// "" or a sentence for the caption about methods that are left out.
std::string left_out_note(const Setting& setting, const std::vector<size_t>& drawn);

report::Series series_of(const Setting& setting, const std::vector<size_t>& drawn);

/// The number of this name in a line; none if it is not there or no finite number.
std::optional<double> number_in(const train::MetricLine& line, const std::string& name);

}  // namespace gradthru::cli
