#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace gradthru::bench {

/// Something to be timed; `before` and `after` are not. `interleave` fills in `seconds`, one entry
/// per repetition.
struct Candidate {
  std::string name;
  std::function<void()> run;
  std::function<void()> before{}, after{};
  std::vector<double> seconds{};
};

struct Budget {
  int repetitions = 15;  ///< at most
  double seconds = 8;    ///< after which no repetition begins, except the first three
};

/// Times every candidate once per repetition, beginning one further than the last repetition did,
/// so that what disturbs the machine disturbs all alike. A short call is repeated to 4 ms.
void interleave(std::vector<Candidate>& candidates, const Budget& budget);

struct Spread {
  double low = 0, median = 0, high = 0;
};

/// Median, and the quantiles `tail` and 1 - `tail`, interpolated linearly between order statistics.
Spread spread_of(std::vector<double> values, double tail = 0.25);

/// Of the ratios paired by repetition: numerator[i] / denominator[i].
Spread ratio_of(const Candidate& numerator, const Candidate& denominator);

/// Bytes by which one call raises the peak of the resident memory; nothing where the system does
/// not let a process reset its own peak.
std::optional<int64_t> peak_growth(const std::function<void()>& run);

}  // namespace gradthru::bench
