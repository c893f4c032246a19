#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradthru/error.h"

namespace gradthru::train {

enum class Status { complete, diverged, interrupted };
std::string_view to_string(Status status);

/// A figure that was expected of the run: its interval, what the run got, and whether it is inside.
struct ExpectedFigure {
  std::string metric;  ///< `<split>_<metric>@<at>`
  double low, high, value;
  bool ok;
};

/// What summary.json says. Names of values are `<split>_<metric>`, such as `test_nelbo`.
struct Summary {
  using Values = std::vector<std::pair<std::string, double>>;

  std::string experiment{};
  std::string preset{};
  std::string method{};  ///< the estimator's spec string
  uint64_t seed = 0;
  Status status = Status::complete;
  int64_t steps = 0;
  double wall_s = 0;
  Values final_values{};                                    ///< written as `final`
  Values best_values{};                                     ///< written as `best`
  std::vector<ExpectedFigure> expected{};                   ///< of the entries about this run
  std::vector<std::pair<std::string, std::string>> data{};  ///< name of a data file → SHA-256
  std::string config_sha256{};
  std::string version{};
  std::string device = "cpu";
};

/// The number for a table that people read: two decimals, four significant digits below 1.
std::string readable(double value);

/// Writes summary.json, atomically. Non-finite values become null and are listed in `nonfinite`.
/// Errors: std::system_error with the path.
void write_summary(const std::filesystem::path& path, const Summary& summary);

/// What a summary.json says; none if there is no such file. A null value reads as NaN.
/// Errors: InvalidInput if it cannot be read as a summary.
std::optional<Summary> read_summary(const std::filesystem::path& path);

}  // namespace gradthru::train
