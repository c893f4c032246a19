#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

// Statistical tests with known error: all seeds are fixed, and a test rejects at p < kSmallestP or
// |z| > kLargestZ.
namespace support {

inline constexpr double kSmallestP = 1e-6;
inline constexpr double kLargestZ = 5;

/// The regularised upper incomplete gamma function Q(a, x), by series or Lentz's continued
/// fraction.
inline double upper_gamma(double a, double x) {
  if (x <= 0) return 1;
  const double front = std::exp(a * std::log(x) - x - std::lgamma(a));
  if (x < a + 1) {
    double term = 1 / a, sum = term;
    for (double n = a + 1; term > sum * 1e-16; ++n) sum += term *= x / n;
    return 1 - sum * front;
  }
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int i = 1; i < 10000; ++i) {
    const double numerator = -i * (i - a);
    b += 2;
    d = 1 / (numerator * d + b);
    c = b + numerator / c;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

/// p-value of Pearson's chi-square; cells that expect fewer than 5 are merged into one.
inline double chi_square_p(const std::vector<int64_t>& counts, const std::vector<double>& probs) {
  double total = 0;
  for (int64_t count : counts) total += static_cast<double>(count);
  double statistic = 0, rest_count = 0, rest_expected = 0;
  int64_t cells = 0;
  const auto add = [&](double count, double expected) {
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (size_t k = 0; k < counts.size(); ++k) {
    const double expected = total * probs[k];
    if (expected >= 5) {
      add(static_cast<double>(counts[k]), expected);
    } else {
      rest_count += static_cast<double>(counts[k]);
      rest_expected += expected;
    }
  }
  if (rest_expected > 0) add(rest_count, rest_expected);
  return cells < 2 ? 1 : upper_gamma(0.5 * static_cast<double>(cells - 1), 0.5 * statistic);
}

/// p-value of the Kolmogorov-Smirnov test against a continuous distribution function.
inline double kolmogorov_p(std::vector<double> values, const std::function<double(double)>& cdf) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  double distance = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double expected = cdf(values[i]);
    distance = std::max({distance, expected - static_cast<double>(i) / n,
                         static_cast<double>(i + 1) / n - expected});
  }
  const double lambda = (std::sqrt(n) + 0.12 + 0.11 / std::sqrt(n)) * distance;
  if (lambda < 0.2) return 1;
  double sum = 0;
  for (int j = 1; j <= 100; ++j) sum += (j % 2 ? 2 : -2) * std::exp(-2.0 * j * j * lambda * lambda);
  return std::clamp(sum, 0.0, 1.0);
}

struct Moments {
  double mean = 0;
  double variance = 0;  ///< unbiased
  double count = 0;
  double error() const { return std::sqrt(variance / count); }  ///< of the mean
};

inline Moments moments(const std::vector<double>& values) {
  Moments m;
  m.count = static_cast<double>(values.size());
  for (double value : values) m.mean += value / m.count;
  for (double value : values) m.variance += (value - m.mean) * (value - m.mean) / (m.count - 1);
  return m;
}

/// The z score of a sample mean against a number.
inline double z_score(const Moments& sample, double expected) {
  return (sample.mean - expected) / sample.error();
}

/// The z score of the difference of two independent sample means.
inline double z_score(const Moments& a, const Moments& b) {
  return (a.mean - b.mean) / std::hypot(a.error(), b.error());
}

/// The z score of `hits` in `trials` against a probability.
inline double binomial_z(int64_t hits, int64_t trials, double probability) {
  const double n = static_cast<double>(trials);
  return (static_cast<double>(hits) - n * probability) /
         std::sqrt(n * probability * (1 - probability));
}

/// P(Poisson(mean) <= count)
inline double poisson_cdf(int64_t count, double mean) {
  return upper_gamma(static_cast<double>(count + 1), mean);
}

}  // namespace support
