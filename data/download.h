#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "data/part_file.h"

namespace gradthru::data {

struct DownloadOptions {
  int connect_timeout_s = 10;
  int stall_s = 30;  ///< a transfer with less than 100 bytes a second for this long is given up
  std::function<void(uint64_t bytes)> progress = {};  ///< the part's size so far; may be empty
};

/// How one transfer ended.
struct Download {
  std::string problem = "";    ///< "" where the part has the wanted size
  bool wrong_content = false;  ///< what came cannot be a piece of the wanted file
  bool resumed = false;        ///< the part's earlier bytes were kept
};

/// Appends to `part` what is missing up to `size` bytes, by HTTP or HTTPS (redirects are followed,
/// within these two). A part that holds bytes is resumed with a Range request; a server that
/// answers with the whole file instead makes it start over.
/// Errors: std::runtime_error where the part cannot be written; all else is told in the result.
Download download(const std::string& url, uint64_t size, PartFile& part,
                  const DownloadOptions& options);

}  // namespace gradthru::data
