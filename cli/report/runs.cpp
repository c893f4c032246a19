#include "cli/report/runs.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "experiments/expected.h"

namespace gradthru::cli {
namespace {

using experiments::Experiment;

/// Why it diverged, in the words of its last event.
std::string last_event(const Run& run) {
  for (auto line = run.lines.rbegin(); line != run.lines.rend(); ++line) {
    if (line->kind == train::Kind::event && !line->note.empty()) return line->note;
  }
  return "no reason written";
}

}  // namespace

std::set<std::string> varying_keys(const std::vector<const Run*>& runs) {
  std::set<std::string> keys;
  for (const Run* run : runs) {
    for (auto& key :
         run->config.differing_keys(runs.front()->config, experiments::incidental_keys())) {
      keys.insert(std::move(key));
    }
  }
  return keys;
}

std::string settings_text(const Run& run, const std::set<std::string>& keys, bool of_method) {
  std::string text;
  for (const std::string& key : keys) {
    if (experiments::is_decided_by_method(key) != of_method || !run.config.has(key)) continue;
    std::string assignment = run.config.assignment(key);
    std::erase(assignment, '"');
    text += (text.empty() ? "" : ", ") + assignment;
  }
  return text;
}

namespace {

/// A seed's run counts once, wherever else it lies.
void add(MethodRuns& method, const Run& run, Runs& runs) {
  if (run.summary.status == train::Status::diverged) {
    ++method.diverged;
    return;
  }
  for (const Run* other : method.runs) {
    if (other->summary.seed == run.summary.seed) {
      runs.left_out.push_back({run.folder, "repeated",
                               "the same method, seed and settings as " + other->folder.string()});
      return;
    }
  }
  method.runs.push_back(&run);
}

void sort_methods(std::vector<MethodRuns>& methods) {
  std::stable_sort(methods.begin(), methods.end(), [](const MethodRuns& a, const MethodRuns& b) {
    const auto &left = a.estimator, &right = b.estimator;
    if (left.method != right.method) return left.method < right.method;
    const auto start = [](const Temperature& tau) { return tau.start; };
    const std::pair first(start(left.tau_f), start(left.tau_b));
    const std::pair second(start(right.tau_f), start(right.tau_b));
    return first != second ? first < second : a.name < b.name;
  });
  for (MethodRuns& method : methods) {
    std::sort(method.runs.begin(), method.runs.end(),
              [](const Run* a, const Run* b) { return a->summary.seed < b->summary.seed; });
  }
}

/// Puts the runs of one preset into settings and methods.
void arrange(const std::vector<const Run*>& members, Group& group, Runs& runs) {
  const std::set<std::string> varying = varying_keys(members);
  std::map<std::pair<std::string, std::string>, std::vector<const Run*>> parts;
  for (const Run* run : members) {
    const std::string method = to_string(parse_estimator(run->summary.method));
    parts[{settings_text(*run, varying, false), method}].push_back(run);
  }
  for (const auto& [key, same] : parts) {
    if (group.settings.empty() || group.settings.back().name != key.first) {
      group.settings.push_back({key.first});
    }
    auto& methods = group.settings.back().methods;
    const std::set<std::string> own = varying_keys(same);
    std::map<std::string, MethodRuns> found;
    for (const Run* run : same) {
      const std::string extra = settings_text(*run, own, true);
      const std::string name = key.second + (extra.empty() ? "" : ", " + extra);
      auto& method =
          found.try_emplace(name, MethodRuns{name, parse_estimator(key.second)}).first->second;
      add(method, *run, runs);
    }
    for (auto& [name, method] : found) methods.push_back(std::move(method));
  }
  for (Setting& setting : group.settings) sort_methods(setting.methods);
}

}  // namespace

Runs arranged(experiments::Results results) {
  Runs runs{std::move(results.runs), {}, std::move(results.left_out)};
  for (const Run& run : runs.all) {
    if (run.summary.status != train::Status::diverged) continue;
    runs.left_out.push_back({run.folder, "diverged", last_event(run)});
  }
  for (const Experiment& experiment : experiments::all()) {
    std::map<std::string, std::vector<const Run*>> presets;
    for (const Run& run : runs.all) {
      if (run.summary.experiment == experiment.name) presets[run.summary.preset].push_back(&run);
    }
    for (const auto& [preset, members] : presets) {
      runs.groups.push_back({&experiment, experiments::about_experiment(experiment), preset});
      arrange(members, runs.groups.back(), runs);
    }
  }
  return runs;
}

}  // namespace gradthru::cli
