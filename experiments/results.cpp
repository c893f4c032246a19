#include "experiments/results.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <ostream>
#include <set>
#include <utility>

#include "experiments/table.h"

namespace gradthru::experiments {
namespace {

namespace fs = std::filesystem;

/// The folders of runs below one folder: those with a configuration.
std::vector<fs::path> run_folders(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw InvalidInput("report: wanted the folder of runs, there is no folder '" + folder.string() +
                       "'");
  }
  std::vector<fs::path> found;
  if (fs::exists(folder / "config.toml")) found.push_back(folder);
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory() && fs::exists(entry.path() / "config.toml")) {
      found.push_back(entry.path());
    }
  }
  if (found.empty()) {
    throw InvalidInput("report: no run (config.toml) in '" + folder.string() +
                       "' or in a folder below it");
  }
  return found;
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

Results read_results(const std::vector<fs::path>& folders) {
  std::set<fs::path> unique;
  for (const fs::path& folder : folders) {
    for (const fs::path& run : run_folders(folder)) unique.insert(fs::weakly_canonical(run));
  }
  Results results;
  const auto read = [&](const fs::path& folder) {
    const auto summary = train::read_summary(folder / "summary.json");
    if (!summary || summary->status == train::Status::interrupted) {
      results.unfinished.push_back(folder);
      return;
    }
    train::Config config = config_of_run(find(summary->experiment), folder);
    // Figures at a step are looked up there later.
    train::read_metrics(folder / "metrics.jsonl");
    results.runs.push_back({folder, *summary, std::move(config)});
  };
  for (const fs::path& folder : unique) {
    try {
      read(folder);
    } catch (const std::exception& error) {
      results.broken.emplace_back(folder, error.what());
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
  for (const auto& folder : results.unfinished) out << "unfinished: " << folder.string() << "\n";
  for (const auto& [folder, why] : results.broken) {
    out << "broken: " << folder.string() << " (" << why << ")\n";
  }
}

bool print_check(const Results& results, std::ostream& out) {
  bool good = results.broken.empty();
  for (const auto& [folder, why] : results.broken) {
    out << "FAIL  " << folder.string() << " cannot be read: " << why << "\n";
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
