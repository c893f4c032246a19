#include "experiments/sbn-train/rate_search.h"

#include <algorithm>
#include <boost/math/tools/minima.hpp>
#include <cmath>

namespace gradthru::experiments {
namespace {

double brent_score(const RateSearch& search, const Trial& trial) {
  if (trial.score < kHopeless) return trial.score;
  return kHopeless + (trial.log10_rate - search.low);
}

}  // namespace

std::optional<double> next_trial(const RateSearch& search, const std::vector<Trial>& trials) {
  const auto made = static_cast<int64_t>(trials.size());
  if (made >= search.evaluations) return std::nullopt;
  std::optional<double> wanted;
  size_t call = 0;
  // The method is repeated with the scores it has had; its next question is the answer.
  const auto replay = [&](double log10_rate) {
    const size_t i = call++;
    if (i < trials.size()) return brent_score(search, trials[i]);
    if (!wanted) wanted = log10_rate;
    return 0.0;
  };
  // It evaluates once before the first iteration, then once in each.
  std::uintmax_t iterations = std::max<size_t>(1, trials.size());
  constexpr int kBits = 26;  // of a double's 53: no search is long enough to get there
  boost::math::tools::brent_find_minima(replay, search.low, search.high, kBits, iterations);
  return wanted;
}

std::optional<Trial> best_trial(const std::vector<Trial>& trials) {
  std::optional<Trial> best;
  for (const Trial& trial : trials) {
    if (!std::isfinite(trial.score)) continue;
    if (!best || trial.score < best->score) best = trial;
  }
  return best;
}

}  // namespace gradthru::experiments
