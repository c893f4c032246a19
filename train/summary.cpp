#include "train/summary.h"

#include <cmath>
#include <fstream>
#include <limits>
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

ordered_json to_json(const std::vector<ExpectedFigure>& figures) {
  ordered_json list = ordered_json::array();
  for (const ExpectedFigure& f : figures) {  // an open end becomes null
    list.push_back(
        {{"metric", f.metric}, {"low", f.low}, {"high", f.high}, {"value", f.value}, {"ok", f.ok}});
  }
  return list;
}

Summary::Values values_from(const ordered_json& json, const char* key) {
  Summary::Values values;
  const ordered_json held = json.value(key, ordered_json::object());  // outlives its items()
  for (const auto& [name, value] : held.items()) {
    values.emplace_back(
        name, value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
  }
  return values;
}

Status status_from(const std::string& name) {
  for (const Status status : kStatuses) {
    if (name == to_string(status)) return status;
  }
  throw nlohmann::json::other_error::create(501, "unknown status", nullptr);
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

std::string readable(double value) {
  const double size = std::abs(value);
  char text[64];
  if (size >= 1e-3 && size < 1) {
    std::snprintf(text, sizeof text, "%.*f", 3 - static_cast<int>(std::floor(std::log10(size))),
                  value);
  } else {
    std::snprintf(text, sizeof text, size < 1e-3 ? "%.4g" : "%.2f", value);
  }
  return text;
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
  if (!summary.expected.empty()) json["expected"] = to_json(summary.expected);
  json["data"] = data;
  json["config_sha256"] = summary.config_sha256;
  json["version"] = summary.version;
  json["device"] = summary.device;
  if (!nonfinite.empty()) json["nonfinite"] = nonfinite;
  write_atomically(path, json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

std::optional<Summary> read_summary(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  try {
    const auto json = ordered_json::parse(text.str());
    Summary summary;
    summary.status = status_from(json.at("status").get<std::string>());
    summary.experiment = json.value("experiment", "");
    summary.preset = json.value("preset", "");
    summary.method = json.value("method", "");
    summary.seed = json.value("seed", uint64_t{0});
    summary.steps = json.value("steps", int64_t{0});
    summary.wall_s = json.value("wall_s", 0.0);
    summary.final_values = values_from(json, "final");
    summary.best_values = values_from(json, "best");
    const ordered_json data = json.value("data", ordered_json::object());
    for (const auto& [name, hash] : data.items()) {
      summary.data.emplace_back(name, hash.get<std::string>());
    }
    summary.config_sha256 = json.value("config_sha256", "");
    summary.version = json.value("version", "");
    summary.device = json.value("device", "cpu");
    return summary;
  } catch (const nlohmann::json::exception&) {
    throw InvalidInput(path.string() +
                       ": no summary of a run (wanted JSON with status complete, diverged or "
                       "interrupted); remove it to run again");
  }
}

}  // namespace gradthru::train
