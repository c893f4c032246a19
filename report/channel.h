#pragma once

#include <string>
#include <vector>

#include "report/chart.h"

// What the charts are put together from: how a column becomes a channel of Vega-Lite.
namespace gradthru::report {

/// The value of a row, in an expression.
std::string datum(const std::string& key);

/// The key of what is drawn for a key of the column: itself, or raised to the floor.
std::string shown(const Column& column, const std::string& key);

/// Appends what computes shown() of every key of the column.
void add_shown(nlohmann::json& transforms, const Column& column);

/// Transforms that leave the rows on one side of the floor; values that do not exist are on none.
nlohmann::json below_floor(const Column& column);
nlohmann::json not_below_floor(const Column& column);

/// The scale that holds all values, whichever of them a layer draws.
nlohmann::json scale_of(const nlohmann::json& rows, const Column& column);

/// The channel of a position.
nlohmann::json position(const nlohmann::json& rows, const Column& column);

/// Every series has its colour, whether or not the rows have it; the legend lists those they have.
nlohmann::json colour_of(const nlohmann::json& rows, const Series& series);

nlohmann::json tooltip_of(const nlohmann::json& rows, const Series& series,
                          const std::vector<Column>& columns);

}  // namespace gradthru::report
