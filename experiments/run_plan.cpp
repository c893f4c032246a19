#include "experiments/run_plan.h"

#include <cctype>
#include <charconv>
#include <set>
#include <sstream>

#include "gradthru/error.h"

namespace gradthru::experiments {
namespace {

using train::Config;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

Config requested_config(const SweepRequest& request, const Experiment& experiment) {
  Config config = preset_config(experiment, request.preset);
  if (request.config_file) {
    config.merge_toml(read_text(*request.config_file), request.config_file->string());
  }
  for (const auto& assignment : request.assignments) config.set(assignment);
  if (request.methods) {
    std::string list;
    for (const auto& estimator : parse_estimators(*request.methods)) {
      list += (list.empty() ? "" : ", ") + quoted(to_string(estimator));
    }
    config.set("methods=[" + list + "]");
  }
  if (request.seeds) config.set("seeds=" + quoted(*request.seeds));
  return config;
}

/// Every choice of one value for each axis of the grid.
std::vector<std::vector<std::string>> grid_points(const Config::Grid& grid) {
  std::vector<std::vector<std::string>> points = {{}};
  for (const auto& [key, assignments] : grid) {
    std::vector<std::vector<std::string>> longer;
    for (const auto& point : points) {
      for (const auto& assignment : assignments) {
        longer.push_back(point);
        longer.back().push_back(assignment);
      }
    }
    points = std::move(longer);
  }
  return points;
}

}  // namespace

std::string folder_name(std::string text) {
  std::string result;
  for (const char c : text) {
    if (c == ')' || c == '"' || c == '%') continue;
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' || c == '+';
    result += plain ? c : '-';
  }
  return result;
}

std::vector<PlannedRun> plan_runs(const SweepRequest& request, const Experiment& experiment) {
  const Config requested = requested_config(request, experiment);
  std::vector<Estimator> estimators;
  for (const auto& spec : requested.texts("methods")) estimators.push_back(parse_estimator(spec));
  if (estimators.empty()) throw InvalidInput("methods: wanted at least one estimator, got none");
  for (const auto& [key, values] : requested.grid()) {
    if (key == "methods" || key == "seeds") {
      throw InvalidInput("grid: " + key + " is a list already, set it outside the grid");
    }
  }
  std::vector<PlannedRun> runs;
  std::set<std::string> names;
  for (const auto& point : grid_points(requested.grid())) {
    for (const auto& estimator : estimators) {
      for (const uint64_t seed : parse_seeds(requested.text("seeds"))) {
        Config config = requested;
        std::string name;
        for (const auto& assignment : point) {
          config.set(assignment);
          name += folder_name(assignment) + "-";
        }
        const Estimator method = experiment.resolve(config, estimator);
        config.set("methods=[" + quoted(to_string(method)) + "]");
        config.set("seeds=" + quoted(std::to_string(seed)));
        name += folder_name(to_string(method)) + "-s" + std::to_string(seed);
        if (!names.insert(name).second) throw InvalidInput("run " + name + " is asked for twice");
        runs.push_back({{std::move(config), method, seed}, name, {}});
      }
    }
  }
  return runs;
}

void place_runs(std::vector<PlannedRun>& runs, const SweepRequest& request) {
  for (auto& run : runs) {
    if (!request.out) {
      run.folder =
          std::filesystem::path("runs") / request.experiment / (request.preset + "-" + run.name);
    } else {
      run.folder = runs.size() == 1 ? *request.out : *request.out / run.name;
    }
  }
  if (request.out && runs.size() > 1) train::require_fresh(*request.out, request.resume);
  for (const auto& run : runs) train::require_fresh(run.folder, request.resume);
}

std::vector<uint64_t> parse_seeds(const std::string& text) {
  const auto bad = [&]() {
    return InvalidInput("seeds must be like 0..4 or 0,2,5, got '" + text + "'");
  };
  const auto number = [&](const std::string& part) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || part.empty()) throw bad();
    return value;
  };
  std::vector<uint64_t> seeds;
  const size_t dots = text.find("..");
  if (dots != std::string::npos) {
    const uint64_t first = number(text.substr(0, dots)), last = number(text.substr(dots + 2));
    if (last < first || last - first >= 10000) throw bad();
    for (uint64_t i = 0; i <= last - first; ++i) seeds.push_back(first + i);
    return seeds;
  }
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) seeds.push_back(number(part));
  if (seeds.empty() || text.back() == ',') throw bad();
  return seeds;
}

}  // namespace gradthru::experiments
