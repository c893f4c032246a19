#pragma once

namespace CLI {
class App;
}

namespace gradthru::cli {

/// Adds `data list`, `data verify` and `data fetch` to `program`. Their callbacks do the work and
/// set `exit_code`, which must outlive the parsing.
/// Errors (from parsing): InvalidInput for a user's mistake, or files that `verify` finds missing
/// or wrong; std::runtime_error where a fetch fails.
void add_data_command(CLI::App& program, int& exit_code);

}  // namespace gradthru::cli
