#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "data/catalogue.h"

namespace gradthru::data {

/// Who said where the data is. They are asked in this order, and the first that answers decides: a
/// file missing there is an error, never a reason to look further, so that nobody trains on other
/// data than was named.
enum class Origin {
  kSetting,         ///< the setting `data.dir`
  kDigitsVariable,  ///< the environment variable GRADTHRU_DIGITS, for the set `digits` only
  kDataVariable,    ///< the environment variable GRADTHRU_DATA_DIR
  kCache            ///< the user's cache
};

/// Where a set's files are looked for; nothing need exist there.
struct Place {
  Origin origin;
  std::filesystem::path path;  ///< folder with a sub-folder per set; kDigitsVariable: the file
};

/// `$XDG_CACHE_HOME/gradthru`, else `~/.cache/gradthru`; nothing where there is no home folder. A
/// relative XDG_CACHE_HOME is ignored, as its specification asks.
std::optional<std::filesystem::path> cache_root();

/// Where `set` is looked for. An empty `dir`, or an empty variable, counts as not set.
/// Errors: InvalidInput where nobody says and there is no home folder.
Place find_place(const DataSet& set, const std::optional<std::string>& dir);

/// The path `file` has in `place`: sub-folder of the set's name, then the file. `digits.csv.gz` may
/// also lie in the folder itself, and a file that is not compressed as `<file>.gz`.
std::filesystem::path file_path(const DataSet& set, const DataFile& file, const Place& place);

/// The path of `file`, which exists.
/// Errors: InvalidInput that tells the file, where it was looked for in which order, how to get it.
std::filesystem::path require_file(const DataSet& set, const DataFile& file,
                                   const std::optional<std::string>& dir);

/// The command or the step that brings the files of `set` to `place`.
std::string how_to_get(const DataSet& set, const Place& place);

}  // namespace gradthru::data
