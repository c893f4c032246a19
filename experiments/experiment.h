#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradthru/estimator.h"
#include "train/config.h"
#include "train/session.h"

namespace gradthru::experiments {

/// A preset: a TOML file that lies beside its experiment.
struct Preset {
  std::string experiment;  ///< the folder's name
  std::string name;        ///< smoke, short, paper, or a variant such as short-fc
  std::string toml;
};
const std::vector<Preset>& presets();

/// The expected.json files that lie beside the experiments: name of the experiment, and text.
const std::vector<std::pair<std::string, std::string>>& expected_texts();

/// One run: a configuration with its one method and one seed.
struct RunPlan {
  train::Config config;
  Estimator estimator;
  uint64_t seed = 0;
};

/// A training that is ready to go, and the files it reads: name and SHA-256.
struct StartedRun {
  std::unique_ptr<train::Training> training;
  std::vector<std::pair<std::string, std::string>> data;
};

/// What `gradthru run` knows of an experiment.
struct Experiment {
  std::string name;
  std::string summary;
  std::vector<train::ConfigKey> keys;  ///< besides `methods` and `seeds`
  /// Fills in what depends on the method and was not set, and returns the method to be run; refuses
  /// settings that cannot be run.
  std::function<Estimator(train::Config&, const Estimator&)> resolve;
  std::function<StartedRun(const RunPlan&)> start;
  std::vector<std::string> columns;  ///< values of the summary that the closing table shows
};

/// All experiments, in the order of `gradthru list experiments`.
const std::vector<Experiment>& all();

/// Errors: InvalidInput with the known names and the nearest one.
const Experiment& find(std::string_view name);

/// The names of an experiment's presets.
std::vector<std::string> preset_names(const Experiment& experiment);

/// The declared keys with `methods` and `seeds`, after the preset. Errors: InvalidInput for an
/// unknown preset.
train::Config preset_config(const Experiment& experiment, std::string_view preset);

/// Keys that say where and how fast, not what: they may change between a run and its resumption.
inline const std::vector<std::string> kResumable = {"data.dir", "data.verify", "save",
                                                    "run.checkpoint_seconds"};

/// The text of a file. Errors: InvalidInput if it cannot be read.
std::string read_text(const std::filesystem::path& path);

/// The configuration in the folder of a run. Errors: InvalidInput if it cannot be read.
train::Config config_of_run(const Experiment& experiment, const std::filesystem::path& folder);

}  // namespace gradthru::experiments
