#pragma once

#include <string>
#include <vector>

#include "gradthru/estimator.h"

namespace gradthru::cli {

/// One key of the estimators and the values it takes.
struct SweepAxis {
  std::string key;
  std::vector<std::string> values;
};

/// "tau_f=0.5:2:4;tau_b=0.5,1": from 0.5 to 2 in 4 equal steps, both ends included, and two values.
/// Errors: InvalidInput for what is not of this form.
std::vector<SweepAxis> parse_sweep(const std::string& text);

/// The estimator at every point of the grid, the first axis slowest; itself without axes.
/// Errors: InvalidInput for a key that it has already been given or does not take.
std::vector<Estimator> swept(const Estimator& estimator, const std::vector<SweepAxis>& axes);

}  // namespace gradthru::cli
