#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/report/runs.h"

// Which method is better, and how sure that is.
namespace gradthru::cli {

/// A metric of one method: a value for each seed.
struct Sample {
  std::map<uint64_t, double> by_seed;

  size_t size() const { return by_seed.size(); }
  double mean() const;
  double sd() const;              ///< sample standard deviation; NaN with one seed
  double standard_error() const;  ///< of the mean; NaN with one seed
};

/// The last value of the metric in each run; what is no finite number is left out.
Sample sample_of(const MethodRuns& method, const std::string& metric);

/// The mean of other − best over the seeds that both have.
struct PairedDifference {
  size_t seeds = 0;
  double mean = 0;
  double standard_error = 0;  ///< these four: NaN with fewer than two seeds
  double low = 0, high = 0;   ///< 95 % interval of Student's t
  double p = 0;               ///< two-sided

  bool is_significant() const;      ///< the interval leaves out zero
  bool exceeds_two_errors() const;  ///< |mean| > 2 standard errors
};
PairedDifference paired_difference(const Sample& best, const Sample& other);

/// The methods by one metric.
struct Ranking {
  std::string metric;
  experiments::Better better{};
  std::vector<Sample> samples;  ///< of every method, as in the setting
  std::vector<size_t> order;    ///< best first; those without a value are left out
  std::optional<size_t> best;   ///< none if nothing competes, or nobody says what is better
  std::vector<PairedDifference> behind_best;  ///< of every method; sign: positive is worse
  bool clear = false;  ///< the best leads every other by more than two standard errors

  /// The best of the others that compete; none if the best is alone.
  std::optional<size_t> second() const;
  std::vector<bool> competes;  ///< the exact gradient is no estimator: it is shown, not ranked
};
Ranking rank(const Setting& setting, const std::string& metric, experiments::Better better);

/// The metric that the methods of a setting are compared by; none if no run has a value.
std::optional<std::string> main_metric(const Group& group, const Setting& setting);

/// What a metric such as `test_nelbo` is in words and which way is better.
experiments::Quantity quantity_of(const Group& group, const std::string& metric);

/// "negative ELBO in nats, test"
std::string title_of(const Group& group, const std::string& metric);

}  // namespace gradthru::cli
