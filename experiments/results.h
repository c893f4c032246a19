#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "experiments/expected.h"

namespace gradthru::experiments {

/// What lies in run folders.
struct Results {
  std::vector<FinishedRun> runs;                  ///< complete and diverged, sorted by folder
  std::vector<std::filesystem::path> unfinished;  ///< begun, or interrupted
  /// What cannot be read as a run, and why.
  std::vector<std::pair<std::filesystem::path, std::string>> broken;

  /// The runs of an experiment.
  std::vector<FinishedRun> of(const Experiment& experiment) const;
};

/// Looks for runs in the folders and in all folders below them.
/// Errors: InvalidInput for a folder that does not exist or holds no run.
Results read_results(const std::vector<std::filesystem::path>& folders);

/// One table for every experiment and preset: mean ± sample standard deviation over seeds.
void print_tables(const Results& results, std::ostream& out);

/// Holds the results to what is expected of their experiments, a line for every entry that has
/// runs. Returns whether every figure lies in its interval and every run could be read.
bool print_check(const Results& results, std::ostream& out);

}  // namespace gradthru::experiments
