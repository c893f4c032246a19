#pragma once

#include <deque>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "experiments/about.h"
#include "experiments/experiment.h"
#include "train/metrics.h"
#include "train/summary.h"

// The runs that a report is about, in the order in which it tells of them.
namespace gradthru::cli {

/// A run that has ended.
struct Run {
  std::filesystem::path folder;
  train::Summary summary;
  train::Config config;
  std::vector<train::MetricLine> lines;
};

/// A folder whose figures are not in the tables, and why.
struct LeftOut {
  std::filesystem::path folder;
  std::string what;  ///< unfinished, diverged, broken, repeated
  std::string why;
};

/// The complete runs of one method, one a seed.
struct MethodRuns {
  std::string name;  ///< the spec string, and settings of its own where it ran with several
  Estimator estimator;
  std::vector<const Run*> runs{};
  int diverged = 0;
};

/// Runs that differ in method and seed alone, so that methods can be compared.
struct Setting {
  std::string name;  ///< what sets it apart from the others of the group: "latent=8x4"; or empty
  std::vector<MethodRuns> methods{};  ///< in the order of the registry
};

/// The runs of one preset of an experiment.
struct Group {
  const experiments::Experiment* experiment;
  experiments::AboutExperiment about;
  std::string preset;
  std::vector<Setting> settings{};
};

struct Runs {
  std::deque<Run> all;  ///< complete and diverged
  std::vector<Group> groups;
  std::vector<LeftOut> left_out;
};

/// The folders that hold something of a run: these, and those below them.
/// Errors: as collect_runs().
std::set<std::filesystem::path> run_folders(const std::vector<std::filesystem::path>& folders);

/// Keys that differ between some of the runs.
std::set<std::string> varying_keys(const std::vector<const Run*>& runs);

/// "p=2.0, latent=8x4": of these keys, those that a method decides for itself or the others, with
/// the run's values.
std::string settings_text(const Run& run, const std::set<std::string>& keys, bool of_method);

/// Looks for runs in the folders and in all folders below them. A folder that cannot be read as a
/// run is left out with the reason.
/// Errors: InvalidInput for a folder that does not exist, or where nothing of a run is found.
Runs collect_runs(const std::vector<std::filesystem::path>& folders);

}  // namespace gradthru::cli
