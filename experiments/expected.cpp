#include "experiments/expected.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace gradthru::experiments {
namespace {

using nlohmann::json;
using train::MetricLine;

train::Split split_of(const std::string& name) {
  for (const train::Split split :
       {train::Split::train, train::Split::valid, train::Split::test, train::Split::none}) {
    if (train::to_string(split) == name) return split;
  }
  throw InvalidInput("split must be train, valid, test or none, got '" + name + "'");
}

/// "loss" or "loss[st]".
Term term_of(const std::string& text) {
  const size_t bracket = text.find('[');
  if (bracket == std::string::npos) return {text, std::nullopt};
  if (text.back() != ']') throw InvalidInput("metric: wanted name[method], got '" + text + "'");
  const std::string spec = text.substr(bracket + 1, text.size() - bracket - 2);
  return {text.substr(0, bracket), parse_estimator(spec)};
}

std::vector<Term> terms_of(const std::string& metric) {
  const size_t between = metric.find("]-");
  if (between == std::string::npos) return {term_of(metric)};
  return {term_of(metric.substr(0, between + 1)), term_of(metric.substr(between + 2))};
}

Expected entry_of(const json& entry) {
  static const std::vector<std::string> known = {"preset", "method", "set",   "metric",
                                                 "split",  "at",     "probe", "low",
                                                 "high",   "source", "seeds", "note"};
  for (const auto& [key, value] : entry.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw InvalidInput("unknown key '" + key + "'" + did_you_mean(key, known));
    }
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Expected e;
  const json& preset = entry.at("preset");
  if (preset.is_string()) e.presets = {preset.get<std::string>()};
  if (!preset.is_string()) e.presets = preset.get<std::vector<std::string>>();
  if (entry.contains("method")) e.method = parse_estimator(entry["method"].get<std::string>());
  const json set = entry.value("set", json::object());
  for (const auto& [key, value] : set.items()) e.set.push_back(key + "=" + value.dump());
  e.metric = entry.at("metric").get<std::string>();
  e.terms = terms_of(e.metric);
  if (!e.method && (e.terms.size() != 2 || !e.terms[0].method || !e.terms[1].method)) {
    throw InvalidInput("wanted a method, or a metric a[method]-b[method], got '" + e.metric + "'");
  }
  e.split = split_of(entry.value("split", "none"));
  e.at = "final";
  if (entry.contains("at")) {
    const json& at = entry["at"];
    if (at.is_string()) e.at = at.get<std::string>();
    if (!at.is_string()) e.at = at.get<int64_t>();
  }
  e.low = entry.value("low", -kInfinity);
  e.high = entry.value("high", kInfinity);
  e.source = entry.at("source").get<std::string>();
  e.note = entry.value("note", "");
  return e;
}

/// Whether the run is one that the preset plans, with the entry's changes.
bool has_settings(const Experiment& experiment, const Expected& e, const FinishedRun& run,
                  const Estimator& method) {
  train::Config wanted = preset_config(experiment, run.summary.preset);
  for (const std::string& assignment : e.set) wanted.set(assignment);
  std::vector<std::string> free = incidental_keys();
  for (const auto& [key, values] : wanted.grid()) free.push_back(key);
  for (const std::string& key : free) {
    // What is settled by method and grid point is settled as in the run.
    if (key != "methods" && wanted.has(key)) wanted.set(run.config.assignment(key));
  }
  experiment.resolve(wanted, method);
  return wanted.differing_keys(run.config, free).empty();
}

bool is_about(const Experiment& experiment, const Expected& e, const FinishedRun& run,
              const Estimator& method) {
  const auto& presets = e.presets;
  return std::find(presets.begin(), presets.end(), run.summary.preset) != presets.end() &&
         run.summary.method == to_string(method) && has_settings(experiment, e, run, method);
}

double number_named(const MetricLine& line, const std::string& name) {
  for (const train::Metric& metric : line.values) {
    const double* number = std::get_if<double>(&metric.value);
    if (metric.name == name && number != nullptr) return *number;
  }
  return std::nan("");
}

/// A figure of metrics.jsonl: at a step, or the last one.
double figure_in_lines(const FinishedRun& run, const Expected& e, const Term& term,
                       const std::string& probe) {
  double found = std::nan("");
  const int64_t* step = std::get_if<int64_t>(&e.at);
  for (const MetricLine& line : run.lines) {
    if (line.split != e.split || (step != nullptr && line.step != *step)) continue;
    if ((line.kind == train::Kind::probe ? line.note : "") != probe) continue;
    const double value = number_named(line, term.name);
    if (!std::isnan(value)) found = value;
  }
  return found;
}

double figure(const FinishedRun& run, const Expected& e, const Term& term) {
  if (run.summary.status == train::Status::diverged) return std::nan("");
  const std::string* when = std::get_if<std::string>(&e.at);
  const std::string probe = e.method && term.method ? to_string(*term.method) : "";
  if (when == nullptr || !probe.empty()) return figure_in_lines(run, e, term, probe);
  const auto& values = *when == "best" ? run.summary.best_values : run.summary.final_values;
  const std::string full = std::string(train::to_string(e.split)) + "_" + term.name;
  for (const auto& [key, value] : values) {
    if (key == full) return value;
  }
  return std::nan("");
}

Verdict verdict(const Expected& e, std::vector<const FinishedRun*> runs) {
  double value = figure(*runs.front(), e, e.terms.front());
  if (e.terms.size() > 1) value -= figure(*runs.back(), e, e.terms.back());
  return {e, std::move(runs), value, e.low <= value && value <= e.high};
}

/// Equal but for the method and what it decides.
bool are_a_pair(const FinishedRun& a, const FinishedRun& b) {
  const auto differing = a.config.differing_keys(b.config, incidental_keys());
  return a.summary.preset == b.summary.preset && a.summary.seed == b.summary.seed &&
         std::all_of(differing.begin(), differing.end(), is_decided_by_method);
}

}  // namespace

std::vector<Expected> expected_of(const Experiment& experiment) {
  std::vector<Expected> entries;
  for (const auto& [name, text] : expected_texts()) {
    if (name != experiment.name) continue;
    const json parsed = json::parse(text);
    for (size_t i = 0; i < parsed.size(); ++i) {
      const std::string where = name + "/expected.json, entry " + std::to_string(i) + ": ";
      try {
        entries.push_back(entry_of(parsed[i]));
        entries.back().number = i;
      } catch (const InvalidInput& error) {
        throw InvalidInput(where + error.what());
      } catch (const json::exception& error) {
        throw InvalidInput(where + error.what());
      }
    }
  }
  return entries;
}

const std::vector<std::string>& incidental_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> all = {"methods", "seeds"};
    all.insert(all.end(), kResumable.begin(), kResumable.end());
    return all;
  }();
  return keys;
}

bool is_decided_by_method(const std::string& key) {
  return key.starts_with("optimiser.");
}

std::string name_of(const Expected& e) {
  const std::string* when = std::get_if<std::string>(&e.at);
  const std::string at = when ? *when : "step " + std::to_string(std::get<int64_t>(e.at));
  return std::string(train::to_string(e.split)) + "_" + e.metric + "@" + at;
}

std::vector<Verdict> check(const Experiment& experiment, const std::vector<FinishedRun>& runs) {
  std::vector<Verdict> verdicts;
  for (const Expected& e : expected_of(experiment)) {
    const bool relation = !e.method;
    for (const FinishedRun& run : runs) {
      if (!is_about(experiment, e, run, relation ? *e.terms[0].method : *e.method)) continue;
      if (!relation) {
        verdicts.push_back(verdict(e, {&run}));
        continue;
      }
      for (const FinishedRun& other : runs) {
        if (is_about(experiment, e, other, *e.terms[1].method) && are_a_pair(run, other)) {
          verdicts.push_back(verdict(e, {&run, &other}));
        }
      }
    }
  }
  return verdicts;
}

}  // namespace gradthru::experiments
