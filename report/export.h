#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/page.h"

// Tables and the rows of charts for other programs.
namespace gradthru::report {

/// Cells with commas, as RFC 4180 has it.
std::string csv(const std::vector<std::vector<std::string>>& lines);

/// Rows as for charts: a column for each key, these first; numbers read back as the same double,
/// what does not exist is empty.
std::string csv(const nlohmann::json& rows, const std::vector<std::string>& first);

/// The table for a LaTeX document that uses the package booktabs.
std::string latex(const Table& table);

}  // namespace gradthru::report
