#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "experiments/about.h"
#include "experiments/experiment.h"
#include "experiments/results.h"

// The runs that a report is about, in the order in which it tells of them.
namespace gradthru::cli {

using experiments::LeftOut;
using Run = experiments::FinishedRun;

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
  std::vector<Run> all;  ///< complete and diverged; groups point into it
  std::vector<Group> groups;
  std::vector<LeftOut> left_out;
};

/// Keys that differ between some of the runs.
std::set<std::string> varying_keys(const std::vector<const Run*>& runs);

/// "p=2.0, latent=8x4": of these keys, those that a method decides for itself or the others, with
/// the run's values.
std::string settings_text(const Run& run, const std::set<std::string>& keys, bool of_method);

/// The runs by experiment, preset, setting and method. Those that diverged, and those that repeat
/// another's method, seed and settings, are left out as well.
Runs arranged(experiments::Results results);

}  // namespace gradthru::cli
