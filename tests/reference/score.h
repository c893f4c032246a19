#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

#include "reference/softmax.h"

// The score-function estimators, slowly: L independent variables with K categories each, one row of
// logits per variable, f of all categories at once.
namespace reference {

using States = std::vector<int>;                         ///< the category of each variable
using ValueOf = std::function<double(const States& x)>;  ///< f
using Table = std::vector<Row>;                          ///< one row per variable

/// All states, the first variable slowest.
inline std::vector<States> all_states(size_t variables, int categories) {
  std::vector<States> all(1);
  for (size_t i = 0; i < variables; ++i) {
    std::vector<States> longer;
    for (const States& x : all)
      for (int k = 0; k < categories; ++k) {
        longer.push_back(x);
        longer.back().push_back(k);
      }
    all = std::move(longer);
  }
  return all;
}

inline double probability(const Table& logits, const States& x, double tau) {
  double p = 1;
  for (size_t i = 0; i < x.size(); ++i) p *= softmax(logits[i], tau)[static_cast<size_t>(x[i])];
  return p;
}

/// `weight` times d log P(x) / d logits.
inline Table score(const Table& logits, const States& x, double tau, double weight) {
  Table result;
  for (size_t i = 0; i < x.size(); ++i) {
    Row row = scaled(softmax(logits[i], tau), -weight / tau);
    row[static_cast<size_t>(x[i])] += weight / tau;
    result.push_back(row);
  }
  return result;
}

inline void add(Table& sum, const Table& more, double factor = 1) {
  if (sum.empty()) sum.assign(more.size(), Row(more.front().size(), 0.0));
  for (size_t i = 0; i < more.size(); ++i) sum[i] = plus(sum[i], more[i], factor);
}

inline Table exact_gradient(const Table& logits, double tau, const ValueOf& f) {
  Table sum;
  for (const States& x : all_states(logits.size(), static_cast<int>(logits[0].size())))
    add(sum, score(logits, x, tau, f(x)), probability(logits, x, tau));
  return sum;
}

inline Table reinforce(const Table& logits, double tau, const ValueOf& f, const States& x,
                       double baseline) {
  return score(logits, x, tau, f(x) - baseline);
}

inline Table rloo(const Table& logits, double tau, const ValueOf& f,
                  const std::vector<States>& samples) {
  const double count = static_cast<double>(samples.size());
  double mean = 0;
  for (const States& x : samples) mean += f(x) / count;
  Table sum;
  for (const States& x : samples) add(sum, score(logits, x, tau, (f(x) - mean) / (count - 1)));
  return sum;
}

/// Each variable takes every category while the others stay.
inline Table indecater(const Table& logits, double tau, const ValueOf& f, const States& x) {
  Table result;
  for (size_t i = 0; i < x.size(); ++i) {
    Row values;
    for (size_t k = 0; k < logits[i].size(); ++k) {
      States changed = x;
      changed[i] = static_cast<int>(k);
      values.push_back(f(changed));
    }
    result.push_back(scaled(jacobian_times(softmax(logits[i], tau), values), 1 / tau));
  }
  return result;
}

/// Gradients for the logits a of binary variables at uniforms u; category 0 of f is b = 1.
inline Row antithetic(const Row& a, double tau, const ValueOf& f, const Row& u, bool average) {
  States first, second;
  for (size_t i = 0; i < a.size(); ++i) {
    const double noise = std::log(u[i]) - std::log1p(-u[i]);
    first.push_back(noise > -a[i] / tau ? 0 : 1);
    second.push_back(noise < a[i] / tau ? 0 : 1);
  }
  const double difference = f(first) - f(second);
  Row grad;
  for (size_t i = 0; i < a.size(); ++i) {
    const double p = 1 / (1 + std::exp(-std::abs(a[i] / tau)));
    const double factor = average ? 0.5 * (second[i] - first[i]) * p : u[i] - 0.5;
    grad.push_back(difference * factor / tau);
  }
  return grad;
}

}  // namespace reference
