#include "experiments/experiment.h"

#include "experiments/vae/vae.h"

namespace gradthru::experiments {
namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

const std::vector<Experiment>& all() {
  static const std::vector<Experiment> experiments = {vae()};
  return experiments;
}

const Experiment& find(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& experiment : all()) {
    if (experiment.name == name) return experiment;
    names.push_back(experiment.name);
  }
  throw InvalidInput("unknown experiment '" + std::string(name) + "'" + did_you_mean(name, names) +
                     " (known: " + listed(names) + ")");
}

std::vector<std::string> preset_names(const Experiment& experiment) {
  std::vector<std::string> names;
  for (const char* usual : {"smoke", "short", "paper"}) {
    for (const auto& preset : presets()) {
      if (preset.experiment == experiment.name && preset.name == usual) names.push_back(usual);
    }
  }
  return names;
}

train::Config preset_config(const Experiment& experiment, std::string_view preset) {
  std::vector<train::ConfigKey> keys = {
      {.name = "methods",
       .fallback = std::vector<std::string>{"reinmax(1.3)"},
       .about = "estimators to train with, as spec strings"},
      {.name = "seeds", .fallback = std::string("0"), .about = "root seeds: 0..4, or 0,2,5"},
  };
  keys.insert(keys.end(), experiment.keys.begin(), experiment.keys.end());
  train::Config config(std::move(keys));
  for (const auto& candidate : presets()) {
    if (candidate.experiment == experiment.name && candidate.name == preset) {
      config.merge_toml(candidate.toml, "preset " + candidate.name);
      return config;
    }
  }
  const auto names = preset_names(experiment);
  throw InvalidInput("unknown preset '" + std::string(preset) + "' of " + experiment.name +
                     did_you_mean(preset, names) + " (known: " + listed(names) + ")");
}

}  // namespace gradthru::experiments
