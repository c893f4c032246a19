#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/catalogue.h"

namespace gradthru::data {

struct FetchOptions {
  int connect_timeout_s = 10;
  int stall_s = 30;  ///< a transfer with less than 100 bytes a second for this long is given up
  std::function<void(const std::string& line)>
      say;  ///< what happens, a line at a time; may be empty
  /// Bytes of `file` that are here by now; may be empty. Called often.
  std::function<void(const DataFile& file, uint64_t bytes)> progress;
};

/// Where the files of `set` are fetched from, in order: addresses of folders, each ending in '/'.
/// GRADTHRU_DATA_MIRROR, one or more base addresses separated by blanks, replaces the set's own
/// mirrors; the files are then at `<base>/<set>/<file>`.
std::vector<std::string> mirrors_of(const DataSet& set);

/// Brings the files of `set` to the folder `root/<set>`. A file that is there and right stays.
/// Every other is downloaded to `<file>.part` (an interrupted download is resumed) and takes its
/// name only when size and SHA-256 are right; on any failure the next mirror is tried. Errors:
/// InvalidInput for a set that cannot be fetched; std::runtime_error with one line that lists what
/// each mirror said, or for a folder that cannot be written.
void fetch_set(const DataSet& set, const std::filesystem::path& root,
               const FetchOptions& options = {});

}  // namespace gradthru::data
