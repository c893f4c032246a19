#pragma once

#include <string>
#include <string_view>

#include "lab/problem.h"

namespace gradthru::lab {

/// Reads a problem from a JSON text of the format gradthru-problem (docs/problem.schema.json).
/// Errors: InvalidInput that names `where`, the place in the file, what was given and what is
/// wanted.
Problem parse_problem(std::string_view text, const std::string& where);

/// Reads the file at `path`.
/// Errors: InvalidInput if it cannot be read, and as above.
Problem read_problem(const std::string& path);

}  // namespace gradthru::lab
