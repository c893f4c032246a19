#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/experiment.h"

// What a report tells of an experiment beside its figures: report.json and published.json, which
// lie beside it.
namespace gradthru::experiments {

/// Names of experiments, and the texts of their files.
const std::vector<std::pair<std::string, std::string>>& report_texts();
const std::vector<std::pair<std::string, std::string>>& published_texts();

enum class Better { less, greater, neither };

/// A quantity, in words: "negative ELBO in nats".
struct Quantity {
  std::string title;
  Better better = Better::neither;
  bool log = false;  ///< to be drawn on a logarithmic scale
};

/// A line to compare a curve with, in runs with these settings ("p=2.0").
struct ReferenceLine {
  std::vector<std::string> set;
  std::string metric;  ///< without the split: "loss"
  double value;
  std::string label;
};

/// A metric that methods are compared by, in runs with these settings.
struct MainMetric {
  std::vector<std::string> set;
  std::string metric;  ///< with the split: "test_nelbo"
};

/// A list of numbers in one line of metrics, drawn over 1, 2, 3 …
struct ListMetric {
  std::string metric;  ///< with the split
  std::string x;       ///< what is counted
};

struct AboutExperiment {
  std::string question;             ///< what is done, for one who knows nothing of it
  std::vector<MainMetric> main;     ///< the first that fits and was measured counts
  std::vector<std::string> curves;  ///< full names; empty: the main metric on each split
  std::vector<std::string> probes;  ///< of probe lines; empty: all numbers
  std::vector<ListMetric> lists;
  std::map<std::string, Quantity> quantities;  ///< by the metric without its split
  std::vector<ReferenceLine> lines;
};

/// Errors: InvalidInput for a broken file.
AboutExperiment about_experiment(const Experiment& experiment);

/// A figure that somebody else has published, never a target.
struct Published {
  std::vector<std::string> set;     ///< settings of ours that it stands beside
  std::optional<Estimator> method;  ///< none where it is of no method that we have
  std::string label;                ///< the method, as published
  std::string metric;               ///< with the split
  double value;
  std::optional<double> sd;
  std::string source;  ///< how we know of it: public, second-hand …
  std::string from;    ///< where it stands, and how it was made
};

/// Errors: InvalidInput for a broken file.
std::vector<Published> published_figures(const Experiment& experiment);

/// Whether a run's configuration has all these settings (`latent="8x4"`, as for set()); a key that
/// is not declared is one that it does not have.
bool has_settings(const train::Config& config, const std::vector<std::string>& set);

}  // namespace gradthru::experiments
