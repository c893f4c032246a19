#pragma once

#include <filesystem>
#include <vector>

#include "train/session.h"

// The metrics of runs for TensorBoard.
namespace gradthru::cli {

/// Names of event files: TensorBoard looks for `tfevents`.
constexpr const char* kEventFile = "events.out.tfevents.gradthru";

/// Writes the lines of a run into an event file in its folder as they come. A file that is there is
/// begun anew. Errors: std::system_error with the path where the file cannot be written.
train::LineObserver live_event_file(const std::filesystem::path& run_folder);

/// Writes an event file for each run, also of unfinished ones, in a folder of `out` that is named
/// as the run lies below its folder. Again is the same: files are replaced. Numbers are called
/// `<split>/<name>`, those of probe lines `probe/<estimator>/<name>`; those of short lists get
/// their number, from 1. Of runs that would have the same place the later one gets a number.
/// Returns how many runs it wrote; a run whose metrics cannot be read is skipped with a line on
/// standard error. Errors: InvalidInput as experiments::read_results().
size_t write_event_files(const std::vector<std::filesystem::path>& folders,
                         const std::filesystem::path& out);

}  // namespace gradthru::cli
