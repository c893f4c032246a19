#pragma once

#include <benchmark/benchmark.h>

#include <string>

#include "bench/interleave.h"

namespace gradthru::bench {

/// The benchmark's time, and the counters ratio, ratio_low and ratio_high.
inline void report(benchmark::State& state, const Candidate& ours, const Spread& ratio) {
  state.SetIterationTime(spread_of(ours.seconds).median);
  state.counters["ratio"] = ratio.median;
  state.counters["ratio_low"] = ratio.low;
  state.counters["ratio_high"] = ratio.high;
}

/// A benchmark that times its candidates itself, in turn, and reports once.
template <class Run>
void register_in_turn(const std::string& title, const Run& run) {
  benchmark::RegisterBenchmark(title.c_str(), run)
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kMillisecond);
}

}  // namespace gradthru::bench
