#include "cli/report/commands.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>
#include <optional>

#include "experiments/expected.h"

namespace gradthru::cli {
namespace {

using train::Config;

/// The text as one word of a shell.
std::string quoted(const std::string& text) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) || std::strchr("_-.,:/=+", c);
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) return text;
  std::string all = "'";
  for (const char c : text) all += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return all + "'";
}

/// Whether preset and --set give the run's configuration.
bool makes(const Group& group, const Run& run, const std::vector<std::string>& set) {
  try {
    Config config = experiments::preset_config(*group.experiment, group.preset);
    for (const std::string& assignment : set) config.set(assignment);
    const Estimator method = parse_estimator(run.summary.method);
    if (!(group.experiment->resolve(config, method) == method)) return false;
    return config.differing_keys(run.config, experiments::incidental_keys()).empty();
  } catch (const InvalidInput&) {
    return false;
  }
}

/// What has to be set beside the preset: no more than is needed. A run of an older version may have
/// keys that are gone; then as much as can be set.
std::vector<std::string> assignments_for(const Group& group, const Run& run) {
  const Config preset = experiments::preset_config(*group.experiment, group.preset);
  std::vector<std::string> set;
  for (const std::string& key : preset.differing_keys(run.config, experiments::incidental_keys())) {
    if (preset.has(key) && run.config.has(key)) set.push_back(run.config.assignment(key));
  }
  // An axis of the preset's grid has one value in the run, be it that of the preset.
  for (const auto& [key, values] : preset.grid()) {
    const std::string assignment = run.config.assignment(key);
    if (std::find(set.begin(), set.end(), assignment) == set.end()) set.push_back(assignment);
  }
  if (!makes(group, run, set)) return set;
  for (size_t i = set.size(); i-- > 0;) {
    if (!experiments::is_decided_by_method(set[i].substr(0, set[i].find('=')))) continue;
    std::vector<std::string> fewer = set;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    if (makes(group, run, fewer)) set = fewer;
  }
  return set;
}

std::string seeds_of(const MethodRuns& method) {
  std::string seeds;
  for (const Run* run : method.runs) {
    seeds += (seeds.empty() ? "" : ",") + std::to_string(run->summary.seed);
  }
  return seeds;
}

}  // namespace

std::vector<std::string> commands_for(const Group& group, const Setting& setting) {
  // Seeds and settings → methods.
  std::map<std::pair<std::string, std::vector<std::string>>, std::string> methods;
  for (const MethodRuns& method : setting.methods) {
    if (method.runs.empty()) continue;
    std::string& specs = methods[{seeds_of(method), assignments_for(group, *method.runs.front())}];
    specs += (specs.empty() ? "" : ";") + method.runs.front()->summary.method;
  }
  std::vector<std::string> commands;
  for (const auto& [key, specs] : methods) {
    std::string command = "gradthru run " + group.experiment->name + " --preset " + group.preset +
                          " --methods " + quoted(specs) + " --seeds " + key.first;
    for (const std::string& assignment : key.second) command += " --set " + quoted(assignment);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace gradthru::cli
