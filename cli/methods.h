#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gradthru/estimator.h"

namespace gradthru::cli {

/// Estimators separated by ';', for a command that has no training progress for a schedule.
/// Errors: InvalidInput for what does not parse, and for a scheduled temperature.
std::vector<Estimator> parse_constant_estimators(std::string_view command, const std::string& text);

}  // namespace gradthru::cli
