#include "bench/interleave.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>

namespace gradthru::bench {
namespace {

constexpr double kShortestSample = 0.004;
constexpr int kFewestRepetitions = 3;
constexpr int kWarmUps = 3;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_per_call(const std::function<void()>& run, int64_t calls) {
  const double start = now();
  for (int64_t i = 0; i < calls; ++i) run();
  return (now() - start) / static_cast<double>(calls);
}

double timed(const Candidate& candidate, int64_t calls) {
  if (candidate.before) candidate.before();
  const double seconds = seconds_per_call(candidate.run, calls);
  if (candidate.after) candidate.after();
  return seconds;
}

int64_t calls_per_sample(const std::function<void()>& run) {
  double once = seconds_per_call(run, 1);
  for (int i = 1; i < kWarmUps; ++i) once = std::min(once, seconds_per_call(run, 1));
  return std::max<int64_t>(1, std::llround(std::ceil(kShortestSample / once)));
}

std::optional<int64_t> status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == key + ":" && status >> kilobytes) return kilobytes * 1024;
  }
  return std::nullopt;
}

/// Makes the present size the peak, and gives back what malloc keeps: it would hide what is used.
bool reset_peak() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  std::ofstream refs("/proc/self/clear_refs");
  refs << "5" << std::flush;
  return refs.good();
}

}  // namespace

void interleave(std::vector<Candidate>& candidates, const Budget& budget) {
  std::vector<int64_t> calls;
  for (auto& candidate : candidates) {
    calls.push_back(calls_per_sample(candidate.run));
    candidate.seconds.clear();
  }
  const double end = now() + budget.seconds;
  for (int i = 0; i < budget.repetitions; ++i) {
    if (i >= kFewestRepetitions && now() > end) break;
    for (size_t n = 0; n < candidates.size(); ++n) {
      const size_t place = (static_cast<size_t>(i) + n) % candidates.size();
      candidates[place].seconds.push_back(timed(candidates[place], calls[place]));
    }
  }
}

Spread spread_of(std::vector<double> values, double tail) {
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    return std::lerp(values[below], values[above], place - static_cast<double>(below));
  };
  return {quantile(tail), quantile(0.5), quantile(1 - tail)};
}

Spread ratio_of(const Candidate& numerator, const Candidate& denominator) {
  std::vector<double> ratios;
  for (size_t i = 0; i < numerator.seconds.size(); ++i) {
    ratios.push_back(numerator.seconds[i] / denominator.seconds[i]);
  }
  return spread_of(std::move(ratios));
}

std::optional<int64_t> peak_growth(const std::function<void()>& run) {
  run();
  if (!reset_peak()) return std::nullopt;
  const auto before = status_bytes("VmRSS");
  run();
  const auto peak = status_bytes("VmHWM");
  if (!before || !peak) return std::nullopt;
  return std::max<int64_t>(0, *peak - *before);
}

}  // namespace gradthru::bench
