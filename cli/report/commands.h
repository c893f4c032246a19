#pragma once

#include <string>
#include <vector>

#include "cli/report/runs.h"

// What makes a run again.
namespace gradthru::cli {

/// The commands that repeat the runs of a setting with the same configurations: one for all methods
/// and seeds where one does, else several.
std::vector<std::string> commands_for(const Group& group, const Setting& setting);

}  // namespace gradthru::cli
