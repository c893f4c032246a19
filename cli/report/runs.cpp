#include "cli/report/runs.h"

#include <algorithm>
#include <map>
#include <set>

#include "experiments/expected.h"

namespace gradthru::cli {
namespace {

namespace fs = std::filesystem;
using experiments::Experiment;

bool is_run(const fs::path& folder) {
  for (const char* file : {"config.toml", "metrics.jsonl", "summary.json"}) {
    if (fs::exists(folder / file)) return true;
  }
  return false;
}

/// How far a run has come that has not ended.
std::string progress_of(const fs::path& folder) {
  const auto lines = fs::exists(folder / "metrics.jsonl")
                         ? train::read_metrics(folder / "metrics.jsonl")
                         : std::vector<train::MetricLine>();
  if (lines.empty()) return "nothing measured yet";
  return "measured up to step " + std::to_string(lines.back().step);
}

/// Why it diverged, in the words of its last event.
std::string last_event(const Run& run) {
  for (auto line = run.lines.rbegin(); line != run.lines.rend(); ++line) {
    if (line->kind == train::Kind::event && !line->note.empty()) return line->note;
  }
  return "no reason written";
}

/// Messages name the whole path; beside the folder's name its own part says enough.
std::string without_folder(std::string text, const fs::path& folder) {
  const std::string path = folder.string() + "/";
  for (size_t at; (at = text.find(path)) != std::string::npos;) text.erase(at, path.size());
  return text;
}

/// The experiment of a run that has not ended yet is not needed: some must take its settings.
void require_config(const fs::path& folder) {
  std::string why;
  for (const Experiment& experiment : experiments::all()) {
    try {
      experiments::config_of_run(experiment, folder);
      return;
    } catch (const InvalidInput& error) {
      why = error.what();
    }
  }
  throw InvalidInput(why);
}

class Collector {
 public:
  explicit Collector(Runs& runs) : runs_(runs) {}

  void take(const fs::path& folder) {
    try {
      read(folder);
    } catch (const std::exception& error) {
      runs_.left_out.push_back({folder, "broken", without_folder(error.what(), folder)});
    }
  }

 private:
  void read(const fs::path& folder) {
    if (!fs::exists(folder / "config.toml")) throw InvalidInput("config.toml is missing");
    const auto summary = train::read_summary(folder / "summary.json");
    if (!summary || summary->status == train::Status::interrupted) {
      require_config(folder);
      const std::string end = summary ? "interrupted, " : "";
      runs_.left_out.push_back({folder, "unfinished", end + progress_of(folder)});
      return;
    }
    const Experiment& experiment = experiments::find(summary->experiment);
    parse_estimator(summary->method);
    experiments::preset_config(experiment, summary->preset);
    auto config = experiments::config_of_run(experiment, folder);
    if (!fs::exists(folder / "metrics.jsonl")) throw InvalidInput("metrics.jsonl is missing");
    auto lines = train::read_metrics(folder / "metrics.jsonl");
    runs_.all.push_back({folder, *summary, std::move(config), std::move(lines)});
    if (summary->status == train::Status::diverged) {
      runs_.left_out.push_back({folder, "diverged", last_event(runs_.all.back())});
    }
  }

  Runs& runs_;
};

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

std::set<fs::path> run_folders(const std::vector<fs::path>& folders) {
  std::set<fs::path> found;
  for (const fs::path& folder : folders) {
    if (!fs::is_directory(folder)) {
      throw InvalidInput("report: wanted the folder of runs, there is no folder '" +
                         folder.string() + "'");
    }
    const size_t before = found.size();
    if (is_run(folder)) found.insert(fs::weakly_canonical(folder));
    const auto options = fs::directory_options::skip_permission_denied;
    for (const auto& entry : fs::recursive_directory_iterator(folder, options)) {
      if (entry.is_directory() && is_run(entry)) found.insert(fs::weakly_canonical(entry));
    }
    if (found.size() == before && !is_run(folder)) {
      throw InvalidInput("report: no run in '" + folder.string() + "' or in a folder below it");
    }
  }
  return found;
}

Runs collect_runs(const std::vector<fs::path>& folders) {
  Runs runs;
  Collector collector(runs);
  for (const fs::path& folder : run_folders(folders)) collector.take(folder);
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
