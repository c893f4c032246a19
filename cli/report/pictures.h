#pragma once

#include <string>
#include <variant>
#include <vector>

#include "cli/report/runs.h"
#include "report/page.h"

// What runs left in their folders `figures`.
namespace gradthru::cli {

/// The figures of one run, in the order of its index; what the index names but cannot be read is
/// said in place of it. Empty where there is none.
std::vector<std::variant<report::Image, report::Listing, report::Paragraph>> pictures_of(
    const Run& run);

}  // namespace gradthru::cli
