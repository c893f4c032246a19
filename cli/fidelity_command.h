#pragma once

#include <CLI/CLI.hpp>

namespace gradthru::cli {

/// `gradthru fidelity`: bias and variance of estimators on a problem.
void add_fidelity_command(CLI::App& program, int& exit_code);

}  // namespace gradthru::cli
