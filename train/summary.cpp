#include "train/summary.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "train/atomic_file.h"

namespace gradthru::train {
namespace {
using nlohmann::ordered_json;

constexpr Status kStatuses[] = {Status::complete, Status::diverged, Status::interrupted};

ordered_json to_json(const Summary::Values& values, ordered_json& nonfinite) {
  ordered_json object = ordered_json::object();
  for (const auto& [name, value] : values) {
    object[name] = value;  // the writer turns NaN and infinity into null
    if (!std::isfinite(value)) nonfinite.push_back(name);
  }
  return object;
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::complete:
      return "complete";
    case Status::diverged:
      return "diverged";
    case Status::interrupted:
      return "interrupted";
  }
  return "";
}

void write_summary(const std::filesystem::path& path, const Summary& summary) {
  ordered_json nonfinite = ordered_json::array();
  ordered_json data = ordered_json::object();
  for (const auto& [name, hash] : summary.data) data[name] = hash;
  ordered_json json;
  json["v"] = 1;
  json["experiment"] = summary.experiment;
  json["preset"] = summary.preset;
  json["method"] = summary.method;
  json["seed"] = summary.seed;
  json["status"] = to_string(summary.status);
  json["steps"] = summary.steps;
  json["wall_s"] = summary.wall_s;
  json["final"] = to_json(summary.final_values, nonfinite);
  json["best"] = to_json(summary.best_values, nonfinite);
  json["data"] = data;
  json["config_sha256"] = summary.config_sha256;
  json["version"] = summary.version;
  json["device"] = summary.device;
  if (!nonfinite.empty()) json["nonfinite"] = nonfinite;
  write_atomically(path, json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

std::optional<Status> read_status(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  const auto json = nlohmann::json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("status") && json["status"].is_string()) {
    const auto& name = json["status"].get_ref<const std::string&>();
    for (const Status status : kStatuses) {
      if (name == to_string(status)) return status;
    }
  }
  throw InvalidInput(path.string() +
                     ": no summary of a run (wanted JSON with status complete, diverged or "
                     "interrupted); remove it to run again");
}

}  // namespace gradthru::train
