#pragma once

#include <CLI/CLI.hpp>

namespace gradthru::cli {

/// `gradthru bench`: how fast this machine is with ours and with eager LibTorch.
void add_bench_command(CLI::App& program, int& exit_code);

}  // namespace gradthru::cli
