#pragma once

#include <CLI/CLI.hpp>

namespace gradthru::cli {

/// `gradthru sweep CONFIG …`: hands over to the engine in python/gradthru_sweep, in the interpreter
/// that GRADTHRU_PYTHON names, else the one the program was built with, else python3.
void add_sweep_command(CLI::App& program);

}  // namespace gradthru::cli
