#pragma once

#include <string>
#include <vector>

#include "cli/report/comparison.h"

// Figures as people read them.
namespace gradthru::cli {

/// Two significant digits: an error from a few seeds is worth no more.
std::string error_text(double value);

/// The number with as many digits as its error gives it a right to; "±" and the error, if it is
/// one: "126.63 ± 0.75".
std::string with_error(double value, double error);

std::string number_text(double value, double error);

/// "12 s", "3.4 min", "2.1 h"
std::string time_text(double seconds);

/// "a, b and c"
std::string listed(const std::vector<std::string>& names);

/// "2 seeds"
std::string counted(size_t n, const std::string& thing);

/// Which method is ahead by the metric, by how much, and whether that is more than chance, in one
/// to three sentences.
std::string finding(const Group& group, const Setting& setting, const Ranking& ranking);

}  // namespace gradthru::cli
