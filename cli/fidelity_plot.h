#pragma once

#include <string>
#include <vector>

#include "cli/fidelity_sweep.h"
#include "lab/fidelity.h"
#include "report/page.h"

namespace gradthru::cli {

/// What `fidelity` measured: every method at each point of the sweep, the first axis slowest.
struct Measured {
  const lab::Problem& problem;
  const std::vector<std::string>& methods;
  const std::vector<SweepAxis>& axes;  ///< at most two
  const std::vector<lab::Fidelity>& results;
};

/// Errors: InvalidInput if --plot cannot be had: too many axes, or a program without charts.
void check_plot(const std::vector<SweepAxis>& axes);

/// The figures as curves over the number of samples, or over the key of the sweep; as maps over
/// its two keys.
report::Page fidelity_page(const Measured& measured);

}  // namespace gradthru::cli
