#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gradthru/estimator.h"

namespace gradthru::experiments {

/// Reads estimators separated by ';' for something that has no training progress for a schedule;
/// `where` is its name in messages.
/// Errors: InvalidInput for what does not parse, and for a scheduled temperature.
std::vector<Estimator> parse_constant_estimators(std::string_view where, const std::string& text);

/// The same for a list of spec strings.
std::vector<Estimator> parse_constant_estimators(std::string_view where,
                                                 const std::vector<std::string>& specs);

}  // namespace gradthru::experiments
