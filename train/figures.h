#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "gradthru/error.h"

// What a run shows beside its numbers: pictures and texts in the folder `figures` of the run, which
// a report inlines.
namespace gradthru::train {

/// Grey levels, row by row from the top; 0 is black.
struct Picture {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> grey;
};

struct Figure {
  std::string file;     ///< name: ends in .png for a picture, in .txt for a text
  std::string caption;  ///< one line, in plain words
  std::variant<Picture, std::string> content;
};

/// Writes the figure into `figures` of the run's folder, and its line into `figures/index.json`: a
/// list of {"file", "caption", "epoch"}. A figure of the same name is replaced, so that a run which
/// is resumed shows nothing twice. Each file appears whole or not at all.
/// Errors: std::system_error with the path; std::logic_error for a name that is no file's name or
/// has another ending, and for a picture without as many levels as it has pixels.
void write_figure(const std::filesystem::path& run_folder, const Figure& figure, double epoch);

}  // namespace gradthru::train
