#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "gradthru/error.h"
#include "train/summary.h"

namespace gradthru::train {

enum class Resume { no, yes };

/// Refuses a folder that exists and is not empty, unless it is to be resumed; for the folder of a
/// sweep, whose runs lie in sub-folders. Creates nothing.
/// Errors: InvalidInput, also where the path is no folder.
void require_fresh(const std::filesystem::path& folder, Resume resume);

/// The folder of one run and the names of its files. Locked while it lives, so that two processes
/// never write into one run.
///
/// Errors: InvalidInput for a non-empty folder without resume, a folder that holds something else
/// than a run, or one in use by another process; std::system_error with the path where the folder
/// cannot be made or written.
class RunDirectory {
 public:
  /// Creates the folder with its parents, or opens it. An absent or empty one starts afresh also
  /// with resume.
  RunDirectory(std::filesystem::path folder, Resume resume);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  bool fresh() const { return fresh_; }  ///< nothing of a run was there
  std::filesystem::path config() const { return folder_ / "config.toml"; }
  std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }
  std::filesystem::path last_checkpoint() const { return folder_ / "checkpoint" / "last.pt"; }
  std::filesystem::path best_checkpoint() const { return folder_ / "checkpoint" / "best.pt"; }
  std::filesystem::path summary() const { return folder_ / "summary.json"; }
  std::filesystem::path log_file() const { return folder_ / "log.txt"; }

  /// How the run ended, from summary.json; none if it has not. Errors: InvalidInput if it is
  /// broken.
  std::optional<Status> status() const;

  /// Appends the line to log.txt and prints it on standard output, over a progress line if need be.
  void log(std::string_view line);

 private:
  std::filesystem::path folder_;
  bool fresh_ = true;
  int lock_ = -1;
  int log_ = -1;
};

}  // namespace gradthru::train
