#include "data/locate.h"

#include <cstdlib>
#include <vector>

#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDigits = "digits";

struct Step {
  Origin origin;
  std::string label;
  std::optional<fs::path> path;
};

std::optional<fs::path> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return fs::path(value);
}

std::vector<Step> search_order(const DataSet& set, const std::optional<std::string>& dir) {
  const bool named = dir.has_value() && !dir->empty();
  std::vector<Step> steps;
  steps.push_back(
      {Origin::kSetting, "data.dir", named ? std::optional<fs::path>(*dir) : std::nullopt});
  if (set.name == kDigits) {
    steps.push_back({Origin::kDigitsVariable, "GRADTHRU_DIGITS", variable("GRADTHRU_DIGITS")});
  }
  steps.push_back({Origin::kDataVariable, "GRADTHRU_DATA_DIR", variable("GRADTHRU_DATA_DIR")});
  steps.push_back({Origin::kCache, "cache", cache_root()});
  return steps;
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string quoted_for_shell(const std::string& word) {
  const std::string harmless =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:,=@%";
  if (!word.empty() && word.find_first_not_of(harmless) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::optional<fs::path> cache_root() {
  if (const auto cache = variable("XDG_CACHE_HOME"); cache && cache->is_absolute()) {
    return *cache / "gradthru";
  }
  if (const auto home = variable("HOME")) return *home / ".cache" / "gradthru";
  return std::nullopt;
}

Place find_place(const DataSet& set, const std::optional<std::string>& dir) {
  for (const Step& step : search_order(set, dir)) {
    if (step.path) return {step.origin, *step.path};
  }
  throw InvalidInput("data: " + set.name +
                     ": nowhere to look: wanted data.dir, GRADTHRU_DATA_DIR, XDG_CACHE_HOME or "
                     "HOME to be set, got none of them");
}

fs::path file_path(const DataSet& set, const DataFile& file, const Place& place) {
  if (place.origin == Origin::kDigitsVariable) return place.path;
  const fs::path usual = place.path / set.name / file.name;
  const fs::path direct = place.path / file.name;
  if (set.name == kDigits && !is_there(usual) && is_there(direct)) return direct;
  const fs::path compressed = usual.string() + ".gz";
  if (usual.extension() != ".gz" && !is_there(usual) && is_there(compressed)) return compressed;
  return usual;
}

std::string how_to_get(const DataSet& set, const Place& place) {
  if (set.mirrors.empty()) return set.source;
  const std::string command = "run 'gradthru data fetch " + set.name;
  if (place.origin == Origin::kCache) return command + "'";
  return command + " --dir " + quoted_for_shell(place.path.string()) + "'";
}

fs::path require_file(const DataSet& set, const DataFile& file,
                      const std::optional<std::string>& dir) {
  const Place place = find_place(set, dir);
  const fs::path path = file_path(set, file, place);
  if (is_there(path)) return path;
  std::string looked;
  bool decided = false;
  for (const Step& step : search_order(set, dir)) {
    looked += (looked.empty() ? "" : ", then ") + step.label;
    if (decided) {
      looked += " (not tried)";
    } else if (!step.path) {
      looked += " (not set)";
    } else {
      looked += " (no file " + path.string() + ")";
      decided = true;
    }
  }
  throw InvalidInput("data: " + set.name + ": file " + file.name + " is missing: looked in " +
                     looked + "; to get it, " + how_to_get(set, place));
}

}  // namespace gradthru::data
