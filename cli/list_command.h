#pragma once

#include <CLI/CLI.hpp>

namespace gradthru::cli {

/// `gradthru list estimators|experiments|data`.
void add_list_command(CLI::App& program);

}  // namespace gradthru::cli
