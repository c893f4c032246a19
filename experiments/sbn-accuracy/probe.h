#pragma once

#include "experiments/experiment.h"
#include "lab/network_fidelity.h"

namespace gradthru::experiments {

/// The measurement of a plan's estimator, from a stream of its own: nothing else notices it.
class NetworkProbe {
 public:
  explicit NetworkProbe(const RunPlan& plan);

  /// A line with, for each figure, the list of all layers, for some of them also a number for each
  /// layer, and the curves over the number of estimates; the value is the expected loss.
  train::EpochReport operator()(const lab::BinaryNetwork& network) const;

 private:
  Estimator estimator_;
  lab::NetworkFidelityOptions options_;
};

}  // namespace gradthru::experiments
