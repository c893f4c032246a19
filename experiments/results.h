#pragma once

#include <filesystem>
#include <iosfwd>
#include <set>
#include <string>
#include <vector>

#include "experiments/expected.h"

namespace gradthru::experiments {

/// A folder whose figures count for nothing, and why.
struct LeftOut {
  std::filesystem::path folder;
  std::string what;  ///< unfinished, broken; in a report also diverged, repeated
  std::string why;
};

/// What lies in run folders.
struct Results {
  std::vector<FinishedRun> runs;  ///< complete and diverged, sorted by folder
  std::vector<LeftOut> left_out;  ///< unfinished and broken ones

  /// The runs of an experiment.
  std::vector<FinishedRun> of(const Experiment& experiment) const;
};

/// The folders that hold something of a run: these, and those below them.
/// Errors: as read_results().
std::set<std::filesystem::path> run_folders(const std::vector<std::filesystem::path>& folders);

/// Looks for runs in the folders and in all folders below them. A folder that cannot be read as a
/// run is left out with the reason.
/// Errors: InvalidInput for a folder that does not exist, or where nothing of a run is found.
Results read_results(const std::vector<std::filesystem::path>& folders);

/// One table for every experiment and preset: mean ± sample standard deviation over seeds.
void print_tables(const Results& results, std::ostream& out);

/// Holds the results to what is expected of their experiments, a line for every entry that has
/// runs. Returns whether every figure lies in its interval and every run could be read.
bool print_check(const Results& results, std::ostream& out);

}  // namespace gradthru::experiments
