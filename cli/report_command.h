#pragma once

#include <CLI/CLI.hpp>

namespace gradthru::cli {

void add_report_command(CLI::App& program, int& exit_code);

}  // namespace gradthru::cli
