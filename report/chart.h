#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Specifications of charts in Vega-Lite. `rows` is an array of objects, one per mark; null is a
// value that does not exist, and is not drawn.
namespace gradthru::report {

/// A key of the rows and how its values are drawn. A logarithm has no place for zero: values below
/// the floor are drawn on it, as triangles that point down.
struct Column {
  std::string key, title;
  bool log = false;
  double floor = 0;           ///< of a logarithmic scale
  std::string low{}, high{};  ///< keys of its interval, where it has one
  bool ticks = false;         ///< at each value, instead of at round ones
};

/// The column on a logarithmic scale, its floor the power of ten below all values that are more
/// than rounding: more than that many, and than 1e-10 of the greatest.
Column log_column(const nlohmann::json& rows, Column column, double rounding = 0);

/// Whether a value lies below the floor of a logarithmic column.
bool has_triangles(const nlohmann::json& rows, const Column& column);

/// Whether an interval of a value above the floor begins below it.
bool has_cut_intervals(const nlohmann::json& rows, const Column& column);

/// What a reader must know of the columns, to follow a caption: zeros, intervals that are cut, and
/// what is missing; "" if there is nothing.
std::string notes(const nlohmann::json& rows, const std::vector<Column>& columns);

/// What tells the rows apart, and its values in the order of the legend.
struct Series {
  std::string key, title;
  std::vector<std::string> order;
};

/// y over x, a line per series, with a band where y has an interval. x is numbers, or texts in the
/// order of the rows.
nlohmann::json curves(const nlohmann::json& rows, const Column& x, const Column& y,
                      const Series& series);

/// A point per series with its interval: one panel per column, side by side.
nlohmann::json points(const nlohmann::json& rows, const std::vector<Column>& columns,
                      const Series& series);

/// Value over x and y, a panel per series. x and y are numbers or texts, their order that of the
/// vectors; where both are the same number, the cell has a frame.
struct Grid {
  Column x, y;
  nlohmann::json x_order, y_order;
};
nlohmann::json heatmaps(const nlohmann::json& rows, const Grid& grid, const Column& value,
                        const Series& series);

}  // namespace gradthru::report
