#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiments/experiment.h"

namespace gradthru::experiments {

/// What `gradthru run` was asked for.
struct SweepRequest {
  std::string experiment;
  std::string preset = "smoke";
  std::optional<std::string> methods{};    ///< specs separated by `;`
  std::optional<std::string> seeds{};      ///< `0..4` or `0,2,5`
  std::vector<std::string> assignments{};  ///< --set
  std::optional<std::filesystem::path> config_file{};
  std::optional<std::filesystem::path> out{};
  train::Resume resume = train::Resume::no;
  train::From from = train::From::last;
  /// Called when a run begins or is gone on with, with its folder; may be empty.
  std::function<train::LineObserver(const std::filesystem::path&)> observe{};
};

/// Runs every (grid point, method, seed), one after the other, each in its folder, and prints a
/// table. Everything that can be checked is checked before any work.
/// Returns the exit code: 0, 1 if a run diverged, 130 if interrupted.
/// Errors: InvalidInput for a user's mistake.
int run_sweep(const SweepRequest& request);

/// Reads `0..4` (both ends included) or `0,2,5`. Errors: InvalidInput.
std::vector<uint64_t> parse_seeds(const std::string& text);

}  // namespace gradthru::experiments
