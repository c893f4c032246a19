#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/interleave.h"

namespace gradthru::cli {

/// What was measured for one shape and estimator. Ratios and peaks go by the name of the baseline;
/// a peak counts in sizes of the tensor of logits.
struct BenchCell {
  std::string shape, estimator;
  std::map<std::string, std::vector<double>> seconds{};
  std::map<std::string, bench::Spread> ratios{};
  std::map<std::string, double> memory{};
  std::map<std::string, std::string> failures{};
};

/// A row per cell, columns aligned; the same columns as bench/side_by_side.py has for them.
std::string bench_table(const std::vector<BenchCell>& cells);

nlohmann::json bench_json(const std::vector<BenchCell>& cells);

}  // namespace gradthru::cli
