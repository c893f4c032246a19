#pragma once

#include <CLI/CLI.hpp>

namespace gradthru::cli {

/// `gradthru run EXPERIMENT …`.
void add_run_command(CLI::App& program, int& exit_code);

}  // namespace gradthru::cli
