#include "cli/report/pictures.h"

#include <filesystem>
#include <nlohmann/json.hpp>

namespace gradthru::cli {
namespace {

namespace fs = std::filesystem;
using Part = std::variant<report::Image, report::Listing, report::Paragraph>;

constexpr uintmax_t kMostBytes = 2'000'000;  // of one file: a page should stay a page

std::string caption_of(const Run& run, const nlohmann::json& entry) {
  std::string caption = run.summary.method + ", seed " + std::to_string(run.summary.seed);
  const auto epoch = entry.find("epoch");
  if (epoch != entry.end() && epoch->is_number()) {
    const double value = epoch->get<double>();
    const bool whole = value == static_cast<double>(static_cast<int64_t>(value));
    caption += ", epoch " + (whole ? std::to_string(static_cast<int64_t>(value)) : epoch->dump());
  }
  return caption + ": " + entry.value("caption", "");
}

Part part_of(const Run& run, const nlohmann::json& entry) {
  const std::string file = entry.at("file").get<std::string>();
  // A name of a file in the folder, and of no other place.
  if (file.empty() || fs::path(file).filename() != file) throw InvalidInput("no file name");
  const fs::path path = run.folder / "figures" / file;
  if (fs::file_size(path) > kMostBytes) throw InvalidInput("longer than 2 MB");
  const std::string bytes = experiments::read_text(path), caption = caption_of(run, entry);
  const std::string ending = path.extension().string();
  if (ending == ".png") return report::Image{caption, "image/png", bytes};
  if (ending == ".svg") return report::Image{caption, "image/svg+xml", bytes};
  if (ending == ".txt") return report::Listing{caption, bytes};
  throw InvalidInput("neither .png, .svg nor .txt");
}

}  // namespace

std::vector<Part> pictures_of(const Run& run) {
  std::vector<Part> parts;
  const fs::path path = run.folder / "figures" / "index.json";
  if (!fs::exists(path)) return parts;
  try {
    const auto index = nlohmann::json::parse(experiments::read_text(path));
    for (const auto& entry : index) {
      try {
        parts.push_back(part_of(run, entry));
      } catch (const std::exception& error) {
        parts.push_back(report::Paragraph{"A figure of " + run.folder.string() +
                                          " cannot be shown: " + error.what()});
      }
    }
  } catch (const std::exception&) {
    parts.push_back(
        report::Paragraph{"The list of figures of " + run.folder.string() + " cannot be read."});
  }
  return parts;
}

}  // namespace gradthru::cli
