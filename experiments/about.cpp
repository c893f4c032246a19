#include "experiments/about.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace gradthru::experiments {
namespace {

using nlohmann::json;

/// The parsed text of an experiment; null where there is none.
json parsed(const std::vector<std::pair<std::string, std::string>>& texts,
            const Experiment& experiment) {
  for (const auto& [name, text] : texts) {
    if (name == experiment.name) return json::parse(text);
  }
  return {};
}

/// {"p": 2.0} as settings.
std::vector<std::string> settings_of(const json& entry) {
  std::vector<std::string> all;
  const json set = entry.value("set", json::object());
  for (const auto& [key, value] : set.items()) all.push_back(key + "=" + value.dump());
  return all;
}

Better better_of(const std::string& text) {
  if (text == "less") return Better::less;
  if (text == "greater") return Better::greater;
  if (text.empty()) return Better::neither;
  throw InvalidInput("better: wanted less or greater, got '" + text + "'");
}

AboutExperiment read_about(const json& file) {
  AboutExperiment about;
  about.question = file.value("question", "");
  for (const json& entry : file.value("main", json::array())) {
    about.main.push_back({settings_of(entry), entry.at("metric").get<std::string>()});
  }
  about.curves = file.value("curves", std::vector<std::string>());
  about.probes = file.value("probes", std::vector<std::string>());
  for (const json& entry : file.value("lists", json::array())) {
    about.lists.push_back({entry.at("metric"), entry.at("x")});
  }
  const json quantities = file.value("quantities", json::object());
  for (const auto& [name, entry] : quantities.items()) {
    about.quantities[name] = {entry.at("title"), better_of(entry.value("better", "")),
                              entry.value("log", false)};
  }
  for (const json& entry : file.value("lines", json::array())) {
    about.lines.push_back(
        {settings_of(entry), entry.at("metric"), entry.at("value"), entry.at("label")});
  }
  return about;
}

template <typename Read>
auto read_file(const Experiment& experiment, const std::string& file, const Read& read) {
  const std::string where = experiment.name + "/" + file + ": ";
  try {
    return read();
  } catch (const InvalidInput& error) {
    throw InvalidInput(where + error.what());
  } catch (const json::exception& error) {
    throw InvalidInput(where + error.what());
  }
}

}  // namespace

AboutExperiment about_experiment(const Experiment& experiment) {
  AboutExperiment about = read_file(experiment, "report.json", [&] {
    const json file = parsed(report_texts(), experiment);
    return file.is_null() ? AboutExperiment() : read_about(file);
  });
  // Without a word about it: the first figure of the test set, or the first of all.
  const auto& columns = experiment.columns;
  const auto test = std::find_if(columns.begin(), columns.end(),
                                 [](const auto& name) { return name.starts_with("test_"); });
  if (test != columns.end()) about.main.push_back({{}, *test});
  if (!columns.empty()) about.main.push_back({{}, columns.front()});
  return about;
}

std::vector<Published> published_figures(const Experiment& experiment) {
  return read_file(experiment, "published.json", [&] {
    std::vector<Published> all;
    const json file = parsed(published_texts(), experiment);
    for (const json& entry : file.is_null() ? json::array() : file) {
      Published figure;
      figure.set = settings_of(entry);
      if (entry.contains("method")) {
        figure.method = parse_estimator(entry["method"].get<std::string>());
      }
      figure.label = entry.at("label").get<std::string>();
      figure.metric = entry.at("metric").get<std::string>();
      figure.value = entry.at("value").get<double>();
      if (entry.contains("sd")) figure.sd = entry["sd"].get<double>();
      figure.source = entry.at("source").get<std::string>();
      figure.from = entry.at("from").get<std::string>();
      all.push_back(std::move(figure));
    }
    return all;
  });
}

bool has_settings(const train::Config& config, const std::vector<std::string>& set) {
  return std::all_of(set.begin(), set.end(), [&](const std::string& assignment) {
    const std::string key = assignment.substr(0, assignment.find('='));
    if (!config.has(key)) return false;
    train::Config changed = config;
    changed.set(assignment);
    return changed.assignment(key) == config.assignment(key);
  });
}

}  // namespace gradthru::experiments
