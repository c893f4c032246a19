#include "experiments/experiment.h"

#include <fstream>
#include <sstream>

#include "experiments/bernoulli-vae/bernoulli_vae.h"
#include "experiments/cost/cost.h"
#include "experiments/decoupled/decoupled.h"
#include "experiments/listops/listops.h"
#include "experiments/poly/poly.h"
#include "experiments/sbn-accuracy/sbn_accuracy.h"
#include "experiments/sbn-train/sbn_train.h"
#include "experiments/vae-gst/vae_gst.h"
#include "experiments/vae-iw/vae_iw.h"
#include "experiments/vae-probe/vae_probe.h"
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
  static const std::vector<Experiment> experiments = {
      poly(),           vae(),       vae_probe_experiment(), vae_gst(),       vae_iw(),
      sbn_accuracy(),   sbn_train(), decoupled_experiment(), bernoulli_vae(), listops_experiment(),
      cost_experiment()};
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
      const bool variant = preset.name.starts_with(std::string(usual) + "-");
      if (preset.experiment != experiment.name || (preset.name != usual && !variant)) continue;
      names.push_back(preset.name);
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

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  // A folder can be opened; only reading tells.
  if (!file.is_open() || file.bad() || text.bad()) {
    throw InvalidInput("cannot read '" + path.string() + "'");
  }
  return text.str();
}

train::Config config_of_run(const Experiment& experiment, const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.toml";
  train::Config config = preset_config(experiment, preset_names(experiment).front());
  config.merge_toml(read_text(path), path.string());
  return config;
}

}  // namespace gradthru::experiments
