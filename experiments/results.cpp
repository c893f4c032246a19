#include "experiments/results.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <utility>

#include "experiments/table.h"

namespace gradthru::experiments {
namespace {

namespace fs = std::filesystem;

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

/// Messages name the whole path; beside the folder's name its own part says enough.
std::string without_folder(std::string text, const fs::path& folder) {
  const std::string path = folder.string() + "/";
  for (size_t at; (at = text.find(path)) != std::string::npos;) text.erase(at, path.size());
  return text;
}

/// The experiment of a run that has not ended yet is not needed: some must take its settings.
void require_config(const fs::path& folder) {
  std::string why;
  for (const Experiment& experiment : all()) {
    try {
      config_of_run(experiment, folder);
      return;
    } catch (const InvalidInput& error) {
      why = error.what();
    }
  }
  throw InvalidInput(why);
}

/// A run that has ended; none if it has not, which is noted.
std::optional<FinishedRun> read_run(const fs::path& folder, Results& results) {
  if (!fs::exists(folder / "config.toml")) throw InvalidInput("config.toml is missing");
  const auto summary = train::read_summary(folder / "summary.json");
  if (!summary || summary->status == train::Status::interrupted) {
    require_config(folder);
    const std::string end = summary ? "interrupted, " : "";
    results.left_out.push_back({folder, "unfinished", end + progress_of(folder)});
    return std::nullopt;
  }
  const Experiment& experiment = find(summary->experiment);
  parse_estimator(summary->method);
  preset_config(experiment, summary->preset);
  if (!fs::exists(folder / "metrics.jsonl")) throw InvalidInput("metrics.jsonl is missing");
  return FinishedRun{folder, *summary, config_of_run(experiment, folder),
                     train::read_metrics(folder / "metrics.jsonl")};
}

/// Settings that differ between the runs of a table, as "p=1.5 latent=\"2x128\"".
std::string point_of(const FinishedRun& run, const std::vector<FinishedRun>& all) {
  std::set<std::string> varying;
  for (const FinishedRun& other : all) {
    if (other.summary.preset != run.summary.preset) continue;
    for (const auto& key : run.config.differing_keys(other.config, incidental_keys())) {
      // What a method decides for itself is said by the method.
      if (run.config.has(key) && !is_decided_by_method(key)) varying.insert(key);
    }
  }
  std::string point;
  for (const auto& key : varying) point += (point.empty() ? "" : " ") + run.config.assignment(key);
  return point;
}

std::string range_text(double low, double high) {
  const auto end = [](double value) { return std::isfinite(value) ? train::readable(value) : "-"; };
  return "[" + std::string(end(low)) + ", " + end(high) + "]";
}

/// Verdicts about one entry.
struct Checked {
  double least = INFINITY, most = -INFINITY;
  int inside = 0, all = 0;
  std::string outside;  ///< folders, with their values
};

void add(Checked& checked, const Verdict& v) {
  ++checked.all;
  checked.least = std::fmin(checked.least, v.value);
  checked.most = std::fmax(checked.most, v.value);
  if (v.ok) {
    ++checked.inside;
  } else {
    const std::string value = std::isnan(v.value) ? "nothing" : train::readable(v.value);
    checked.outside += "    " + v.runs[0]->folder.string() + " has " + value + "\n";
  }
}

std::string settings_of(const Expected& e) {
  std::string text = e.method ? to_string(*e.method) : "";
  for (const auto& assignment : e.set) text += (text.empty() ? "" : ", ") + assignment;
  return text.empty() ? "" : " (" + text + ")";
}

}  // namespace

std::vector<FinishedRun> Results::of(const Experiment& experiment) const {
  std::vector<FinishedRun> found;
  for (const FinishedRun& run : runs) {
    if (run.summary.experiment == experiment.name) found.push_back(run);
  }
  return found;
}

std::set<fs::path> run_folders(const std::vector<fs::path>& folders) {
  std::set<fs::path> found;
  for (const fs::path& folder : folders) {
    if (!fs::is_directory(folder)) {
      throw InvalidInput("report: wanted the folder of runs, there is no folder '" +
                         folder.string() + "'");
    }
    bool some = false;
    const auto take = [&](const fs::path& path) {
      if (!is_run(path)) return;
      found.insert(fs::weakly_canonical(path));
      some = true;
    };
    take(folder);
    const auto options = fs::directory_options::skip_permission_denied;
    for (const auto& entry : fs::recursive_directory_iterator(folder, options)) {
      if (entry.is_directory()) take(entry.path());
    }
    if (!some) {
      throw InvalidInput("report: no run in '" + folder.string() + "' or in a folder below it");
    }
  }
  return found;
}

Results read_results(const std::vector<fs::path>& folders) {
  Results results;
  for (const fs::path& folder : run_folders(folders)) {
    try {
      if (auto run = read_run(folder, results)) results.runs.push_back(std::move(*run));
    } catch (const std::exception& error) {
      results.left_out.push_back({folder, "broken", without_folder(error.what(), folder)});
    }
  }
  return results;
}

void print_tables(const Results& results, std::ostream& out) {
  for (const Experiment& experiment : all()) {
    const auto runs = results.of(experiment);
    std::map<std::string, Table> tables;
    for (const FinishedRun& run : runs) {
      tables.try_emplace(run.summary.preset, experiment.columns)
          .first->second.add(point_of(run, runs), run.summary);
    }
    for (const auto& [preset, table] : tables) {
      out << experiment.name << ", " << preset << ":\n";
      table.print(out);
      out << "\n";
    }
  }
  for (const LeftOut& out_of_it : results.left_out) {
    out << out_of_it.what << ": " << out_of_it.folder.string() << " (" << out_of_it.why << ")\n";
  }
}

bool print_check(const Results& results, std::ostream& out) {
  bool good = true;
  for (const LeftOut& left_out : results.left_out) {
    if (left_out.what != "broken") continue;
    good = false;
    out << "FAIL  " << left_out.folder.string() << " cannot be read: " << left_out.why << "\n";
  }
  for (const Experiment& experiment : all()) {
    // Entries in the order of the file, whatever runs are there.
    std::vector<std::pair<Expected, Checked>> entries;
    const auto runs = results.of(experiment);
    for (const Verdict& v : check(experiment, runs)) {
      if (entries.empty() || entries.back().first.number != v.expected.number) {
        entries.push_back({v.expected, {}});
      }
      add(entries.back().second, v);
    }
    for (const auto& [entry, checked] : entries) {
      const bool ok = checked.inside == checked.all;
      good &= ok;
      out << (ok ? "ok    " : "FAIL  ") << experiment.name << " " << name_of(entry)
          << settings_of(entry) << ": " << range_text(checked.least, checked.most) << " in "
          << range_text(entry.low, entry.high) << ", " << checked.inside << " of " << checked.all
          << " runs; " << entry.source << (entry.note.empty() ? "" : ": " + entry.note) << "\n"
          << checked.outside;
    }
  }
  return good;
}

}  // namespace gradthru::experiments
