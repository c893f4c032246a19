#include "cli/report/comparison.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>

namespace gradthru::cli {
namespace {

using experiments::Better;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string without_split(const std::string& metric) {
  const size_t underscore = metric.find('_');
  return underscore == std::string::npos ? metric : metric.substr(underscore + 1);
}

/// "train" of "train_loss"; none of "none_loss".
std::string split_of(const std::string& metric) {
  const std::string split = metric.substr(0, metric.find('_'));
  return split == "none" ? "" : split;
}

}  // namespace

double Sample::mean() const {
  double sum = 0;
  for (const auto& [seed, value] : by_seed) sum += value;
  return sum / static_cast<double>(by_seed.size());
}

double Sample::sd() const {
  if (by_seed.size() < 2) return kNan;
  const double middle = mean();
  double squares = 0;
  for (const auto& [seed, value] : by_seed) squares += (value - middle) * (value - middle);
  return std::sqrt(squares / static_cast<double>(by_seed.size() - 1));
}

double Sample::standard_error() const {
  return sd() / std::sqrt(static_cast<double>(by_seed.size()));
}

Sample sample_of(const MethodRuns& method, const std::string& metric) {
  Sample sample;
  for (const Run* run : method.runs) {
    for (const auto& [name, value] : run->summary.final_values) {
      if (name == metric && std::isfinite(value)) sample.by_seed[run->summary.seed] = value;
    }
  }
  return sample;
}

bool PairedDifference::is_significant() const {
  return low > 0 || high < 0;
}

bool PairedDifference::exceeds_two_errors() const {
  return std::abs(mean) > 2 * standard_error;
}

PairedDifference paired_difference(const Sample& best, const Sample& other) {
  Sample differences;
  for (const auto& [seed, value] : best.by_seed) {
    const auto at = other.by_seed.find(seed);
    if (at != other.by_seed.end()) differences.by_seed[seed] = at->second - value;
  }
  PairedDifference d;
  d.seeds = differences.size();
  d.mean = d.seeds > 0 ? differences.mean() : other.mean() - best.mean();
  if (d.seeds < 2) {
    d.standard_error = d.low = d.high = d.p = kNan;
    return d;
  }
  d.standard_error = differences.standard_error();
  const boost::math::students_t law(static_cast<double>(d.seeds - 1));
  const double reach = boost::math::quantile(law, 0.975) * d.standard_error;
  d.low = d.mean - reach;
  d.high = d.mean + reach;
  const double t = std::abs(d.mean) / d.standard_error;
  if (d.standard_error > 0) {
    d.p = 2 * boost::math::cdf(boost::math::complement(law, t));
  } else {
    d.p = d.mean == 0 ? 1 : 0;
  }
  return d;
}

std::optional<size_t> Ranking::second() const {
  for (const size_t m : order) {
    if (competes[m] && m != best) return m;
  }
  return std::nullopt;
}

Ranking rank(const Setting& setting, const std::string& metric, Better better) {
  Ranking ranking;
  ranking.metric = metric;
  ranking.better = better;
  for (size_t m = 0; m < setting.methods.size(); ++m) {
    ranking.samples.push_back(sample_of(setting.methods[m], metric));
    ranking.competes.push_back(setting.methods[m].estimator.method != Method::exact);
    if (ranking.samples[m].size() > 0) ranking.order.push_back(m);
  }
  ranking.behind_best.resize(setting.methods.size());
  if (better == Better::neither) return ranking;
  const double sign = better == Better::less ? 1 : -1;
  std::stable_sort(ranking.order.begin(), ranking.order.end(), [&](size_t a, size_t b) {
    return sign * ranking.samples[a].mean() < sign * ranking.samples[b].mean();
  });
  for (const size_t m : ranking.order) {
    if (!ranking.best && ranking.competes[m]) ranking.best = m;
  }
  if (!ranking.best) return ranking;
  const auto signed_sample = [&](size_t m) {
    Sample sample = ranking.samples[m];
    for (auto& [seed, value] : sample.by_seed) value *= sign;
    return sample;
  };
  ranking.clear = ranking.second().has_value();
  for (const size_t m : ranking.order) {
    ranking.behind_best[m] = paired_difference(signed_sample(*ranking.best), signed_sample(m));
    if (m == *ranking.best || !ranking.competes[m]) continue;
    const PairedDifference& d = ranking.behind_best[m];
    ranking.clear &= d.seeds >= 2 && d.mean > 0 && d.exceeds_two_errors();
  }
  return ranking;
}

std::optional<std::string> main_metric(const Group& group, const Setting& setting) {
  for (const auto& candidate : group.about.main) {
    for (const MethodRuns& method : setting.methods) {
      for (const Run* run : method.runs) {
        if (!experiments::has_settings(run->config, candidate.set)) continue;
        if (sample_of(method, candidate.metric).size() > 0) return candidate.metric;
      }
    }
  }
  return std::nullopt;
}

experiments::Quantity quantity_of(const Group& group, const std::string& metric) {
  const std::string name = without_split(metric);
  const auto known = group.about.quantities.find(name);
  if (known != group.about.quantities.end()) return known->second;
  const bool is_good = name.find("acc") != std::string::npos || name.starts_with("cos");
  const bool is_bad =
      name.find("loss") != std::string::npos || name.find("nelbo") != std::string::npos ||
      name.find("error") != std::string::npos || name.find("mse") != std::string::npos;
  std::string title = name;
  std::replace(title.begin(), title.end(), '_', ' ');
  return {title, is_good ? Better::greater : is_bad ? Better::less : Better::neither};
}

std::string title_of(const Group& group, const std::string& metric) {
  const auto& columns = group.experiment->columns;
  const std::string split = split_of(metric);
  // Where there is only one, it tells nothing.
  if (std::all_of(columns.begin(), columns.end(),
                  [&](const std::string& column) { return split_of(column) == split; })) {
    return quantity_of(group, metric).title;
  }
  return quantity_of(group, metric).title + (split.empty() ? "" : ", " + split);
}

}  // namespace gradthru::cli
