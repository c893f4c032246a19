#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "experiments/experiment.h"
#include "train/config.h"
#include "train/metrics.h"
#include "train/summary.h"

namespace gradthru::experiments {

/// A name, and in brackets what has it: in an entry about one method the estimator that its run
/// probes, in a relation between methods the method.
struct Term {
  std::string name;
  std::optional<Estimator> method;
};

/// A figure that runs must reproduce: one entry of the experiment's expected.json.
struct Expected {
  size_t number;                     ///< in the file, from 0
  std::vector<std::string> presets;  ///< whose runs it is about
  std::optional<Estimator> method;   ///< none in a relation between methods
  std::vector<std::string> set;      ///< what those runs change of the preset, as for --set
  std::string metric;                ///< as written: "loss", or "loss[st]-loss[reinmax]"
  std::vector<Term> terms;           ///< the first minus the second, if there are two
  train::Split split;
  std::variant<std::string, int64_t> at;  ///< final, best, or a number of updates
  double low, high;                       ///< may be infinite
  std::string source;                     ///< derived, own, code, public
  std::string note;
};

/// The entries of an experiment, from the file beside it; empty where there is none.
/// Errors: InvalidInput with the number of a broken entry.
std::vector<Expected> expected_of(const Experiment& experiment);

/// Keys that do not make a run another one: method and seed, places, and how often it is saved.
const std::vector<std::string>& incidental_keys();

/// Whether a method may have a value of its own for the key: methods with different ones are
/// compared all the same.
bool is_decided_by_method(const std::string& key);

/// `<split>_<metric>@<at>`.
std::string name_of(const Expected& entry);

/// A run that has a summary.
struct FinishedRun {
  std::filesystem::path folder;
  train::Summary summary;
  train::Config config;
  std::vector<train::MetricLine> lines;
};

/// An entry and the figure of one run, or of two with the same seed and settings for a relation.
struct Verdict {
  Expected expected;
  std::vector<const FinishedRun*> runs;
  double value;  ///< NaN where a run did not write it
  bool ok;
};

/// Every entry of the experiment held to every run that it is about: a run of one of the entry's
/// presets, at any point of the preset's grid, with no other setting changed. One that diverged has
/// no figure.
std::vector<Verdict> check(const Experiment& experiment, const std::vector<FinishedRun>& runs);

}  // namespace gradthru::experiments
