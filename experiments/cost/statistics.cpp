#include "experiments/cost/statistics.h"

#include <random>
#include <stdexcept>

#include "bench/interleave.h"

namespace gradthru::experiments::cost {
namespace {

constexpr int kResamplings = 1000;
constexpr double kTail = 0.025;

}  // namespace

Ratio ratio_of(const std::vector<double>& a, const std::vector<double>& b, uint64_t seed) {
  if (a.empty() || a.size() != b.size()) {
    throw std::logic_error("a ratio wants as many times of the one as of the other");
  }
  std::vector<double> ratios;
  for (size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  std::mt19937_64 engine(seed);
  std::vector<double> medians, drawn(ratios.size());
  for (int n = 0; n < kResamplings; ++n) {
    for (double& ratio : drawn) ratio = ratios[engine() % ratios.size()];
    medians.push_back(bench::spread_of(drawn).median);
  }
  const bench::Spread interval = bench::spread_of(medians, kTail);
  return {bench::spread_of(ratios).median, interval.low, interval.high};
}

}  // namespace gradthru::experiments::cost
