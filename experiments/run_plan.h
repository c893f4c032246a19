#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/experiment.h"
#include "experiments/sweep.h"

namespace gradthru::experiments {

/// One run of a sweep and its place.
struct PlannedRun {
  RunPlan plan;
  std::string name;  ///< of the folder
  std::filesystem::path folder{};
};

/// Every (grid point, method, seed) that was asked for, in the order they run, each with a
/// configuration of its own that could be run; without folders.
/// Errors: InvalidInput.
std::vector<PlannedRun> plan_runs(const SweepRequest& request, const Experiment& experiment);

/// Fills in the folders: one run alone lies in --out itself; several lie in sub-folders of it.
/// Errors: InvalidInput for a folder that is not empty, unless the runs are resumed.
void place_runs(std::vector<PlannedRun>& runs, const SweepRequest& request);

/// A name that needs no quoting in a shell: gst(p,tau=0.7) becomes gst-p-tau-0.7.
std::string folder_name(std::string text);

}  // namespace gradthru::experiments
