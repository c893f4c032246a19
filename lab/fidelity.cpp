#include "lab/fidelity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "lab/exact.h"
#include "lab/gap.h"

namespace gradthru::lab {
namespace {

using at::Tensor;

constexpr int64_t kGroups = 32;            // of draws, for intervals
constexpr double kStudent = 2.0395134464;  // 97.5 % of Student's t with kGroups - 1 = 31 degrees
constexpr int64_t kMostSamples = 4096;     // of the curves

double length_of(const Tensor& t) {
  return t.norm().item<double>();
}

double product(const Tensor& a, const Tensor& b) {
  return (a * b).sum().item<double>();
}

double cosine_of(const Tensor& a, const Tensor& b) {
  return product(a, b) / (length_of(a) * length_of(b));
}

/// Sums over draws of what is off g*, and the cosines of disjoint groups of M draws.
class Sums {
 public:
  Sums(const Tensor& exact, int64_t draws)
      : exact_(exact.flatten()),
        draws_(draws),
        groups_(at::zeros({kGroups, exact.numel()}, exact.options())) {
    for (int64_t M = 1; M <= std::min(kMostSamples, draws / 2); M *= 4)
      curves_.push_back({M, {}, {}, 0});
  }

  /// Adds estimates [m, B, L, K], number `first` and on.
  void add(const Tensor& estimates, int64_t first) {
    const Tensor off = estimates.flatten(1) - exact_;
    squares_ += off.square().sum().item<double>();
    const Tensor group =
        at::floor_divide(at::arange(first, first + off.size(0), at::kLong) * kGroups, draws_);
    groups_.index_add_(0, group, off);
    for (Curve& curve : curves_) follow(curve, off);
  }

  Tensor mean_off() const { return groups_.sum(0) / static_cast<double>(draws_); }

  /// Unbiased tr V.
  double variance() const {
    const double n = static_cast<double>(draws_);
    return std::max(0.0, (squares_ - n * product(mean_off(), mean_off())) / (n - 1));
  }

  /// Means of the groups, [kGroups, B L K], off g*.
  Tensor group_means() const {
    return groups_ * (static_cast<double>(kGroups) / static_cast<double>(draws_));
  }

  std::vector<AtSamples> by_samples(double bias, double variance) const {
    std::vector<AtSamples> all;
    const double length = length_of(exact_);
    for (const Curve& curve : curves_) {
      AtSamples at{curve.M,
                   std::sqrt(bias * bias + variance / static_cast<double>(curve.M)) / length,
                   {},
                   {},
                   {}};
      if (curve.cosines.size() >= 2) {
        const Tensor values = at::tensor(curve.cosines, exact_.options());
        at.cosine = values.mean().item<double>();
        at.cosine_low = values.quantile(0.15).item<double>();
        at.cosine_high = values.quantile(0.85).item<double>();
      }
      all.push_back(at);
    }
    return all;
  }

 private:
  struct Curve {
    int64_t M;
    std::vector<double> cosines;
    Tensor partial;  ///< sum of a group that is not complete
    int64_t in_partial;
  };

  void follow(Curve& curve, const Tensor& off) {
    int64_t at = 0;
    const auto finish = [&](const Tensor& means) {  // [groups, B L K], off g*
      const Tensor g = means + exact_;
      const Tensor cosines = g.mv(exact_) / (g.norm(2, 1) * exact_.norm());
      const Tensor known = cosines.masked_select(cosines.isfinite());
      const double* begin = known.const_data_ptr<double>();
      curve.cosines.insert(curve.cosines.end(), begin, begin + known.numel());
    };
    const double M = static_cast<double>(curve.M);
    if (curve.in_partial > 0) {
      at = std::min(off.size(0), curve.M - curve.in_partial);
      curve.partial += off.slice(0, 0, at).sum(0);
      curve.in_partial += at;
      if (curve.in_partial < curve.M) return;
      finish(curve.partial.unsqueeze(0) / M);
      curve.in_partial = 0;
    }
    const int64_t whole = (off.size(0) - at) / curve.M;
    if (whole > 0)
      finish(off.slice(0, at, at + whole * curve.M).view({whole, curve.M, -1}).mean(1));
    at += whole * curve.M;
    if (at == off.size(0)) return;
    curve.partial = off.slice(0, at).sum(0);
    curve.in_partial = off.size(0) - at;
  }

  Tensor exact_;
  int64_t draws_;
  Tensor groups_;
  double squares_ = 0;
  std::vector<Curve> curves_;
};

/// Mean and Student interval of one number per group.
Interval student(double value, const Tensor& per_group) {
  const double half =
      kStudent * per_group.std().item<double>() / std::sqrt(static_cast<double>(kGroups));
  return {value, value - half, value + half};
}

Fidelity from_moments(const Moments& moments, Fidelity result) {
  const Tensor& exact = result.exact_gradient;
  result.mean = moments.mean;
  result.variance = moments.variance.sum().item<double>();
  const double bias = length_of(result.mean - exact), length = length_of(exact);
  const double relative = bias / length, cosine = cosine_of(result.mean, exact);
  result.relative_bias = {relative, relative, relative};
  result.cosine = {cosine, cosine, cosine};
  result.squared_bias = relative * relative;
  for (int64_t M = 1; M <= kMostSamples; M *= 4) {
    const double rmse = std::sqrt(bias * bias + result.variance / static_cast<double>(M)) / length;
    result.by_samples.push_back({M, rmse, {}, {}, {}});
  }
  return result;
}

void require_draws(const FidelityOptions& options) {
  if (options.draws >= 2 * kGroups) return;
  throw InvalidInput("fidelity: draws must be >= " + std::to_string(2 * kGroups) + ", got " +
                     std::to_string(options.draws));
}

/// How many draws are worked on at once, each with so many evaluations of f.
int64_t block_of(const Problem& p, double evaluations, int64_t draws) {
  const double each = std::max(1.0, evaluations) * static_cast<double>(p.logits.numel());
  const double block = static_cast<double>(kBlockElements) / each;
  return std::clamp<int64_t>(static_cast<int64_t>(block), 1, draws);
}

Fidelity from_draws(const Problem& p, Fidelity result, const FidelityOptions& options) {
  require_draws(options);
  const Tensor& exact = result.exact_gradient;
  const Estimator& e = result.estimator;
  const int64_t block = block_of(p, evaluations(e, p.L(), p.K()), options.draws);
  Sums sums(exact, options.draws);
  Key key = options.key;
  for (int64_t first = 0; first < options.draws; first += block) {
    const int64_t count = std::min(block, options.draws - first);
    key.row0 = options.key.row0 + first * p.B() * p.L();
    sums.add(estimates(p, e, count, {.key = key}), first);
  }
  const double n = static_cast<double>(options.draws), length = length_of(exact);
  const Tensor off = sums.mean_off().view_as(exact);
  const double bias = length_of(off);
  result.draws = options.draws;
  result.mean = exact + off;
  result.variance = sums.variance();
  result.standard_error = std::sqrt(result.variance / n);
  result.squared_bias = (bias * bias - result.variance / n) / (length * length);
  // Along the direction of the mean's error the groups are numbers; so are their cosines.
  const Tensor groups = sums.group_means();
  const Tensor along = bias > 0 ? groups.mv(off.flatten()) / bias : groups.norm(2, 1);
  result.relative_bias = student(bias / length, along / length);
  const Tensor mean = result.mean.flatten(), target = exact.flatten();
  const double cosine = cosine_of(mean, target), size = length_of(mean);
  // cos of mean + d is cos + d . (g*/|g*| - cos mean/|mean|) / |mean|, to first order in d.
  const Tensor slope = (target / length - cosine * mean / size) / size;
  result.cosine = student(cosine, groups.mv(slope));
  const double known_bias = std::sqrt(std::max(0.0, result.squared_bias)) * length;
  result.by_samples = sums.by_samples(known_bias, result.variance);
  return result;
}

Interval mean_gap(const Problem& p, const Fidelity& result, const FidelityOptions& options) {
  require_draws(options);
  const int64_t draws = options.draws / kGroups * kGroups;
  const int64_t block = block_of(p, 2, draws);
  Key key = options.key;
  std::vector<Tensor> gaps;
  for (int64_t first = 0; first < draws; first += block) {
    key.row0 = options.key.row0 + first * p.B() * p.L();
    gaps.push_back(gradient_gaps(p, result.estimator, std::min(block, draws - first), key));
  }
  const Tensor groups =
      at::cat(gaps).view({kGroups, -1}).mean(1) / length_of(result.exact_gradient);
  return student(groups.mean().item<double>(), groups);
}

}  // namespace

std::vector<Fidelity> measure(const Problem& p, const std::vector<Estimator>& estimators,
                              const FidelityOptions& options) {
  std::map<double, Tensor> exact;  // by tau_f: one enumeration serves all
  std::vector<Fidelity> results;
  std::vector<Estimator> enumerated;
  for (const Estimator& e : estimators) {
    Fidelity result{};
    result.estimator = e;
    result.tau_f = traits(e).sampling_tau;
    Tensor& known = exact[result.tau_f];
    if (!known.defined()) known = exact_gradient(p, result.tau_f);
    result.exact_gradient = known;
    result.enumerated = is_enumerable(e) && !options.sampled;
    if (result.enumerated) enumerated.push_back(e);
    if (e.method == Method::exact) {
      result.enumerated = true;
      result = from_moments({known, at::zeros_like(known)}, result);
    }
    results.push_back(result);
  }
  const std::vector<Moments> moments = enumerated_moments(p, enumerated);
  auto next = moments.begin();
  for (Fidelity& result : results) {
    if (!result.mean.defined()) {
      result = result.enumerated ? from_moments(*next++, result) : from_draws(p, result, options);
    }
    if (options.gradient_gap && has_surrogate(result.estimator) && p.differentiable) {
      result.gradient_gap = mean_gap(p, result, options);
    }
    result.relative_std = std::sqrt(result.variance) / length_of(result.mean);
  }
  return results;
}

}  // namespace gradthru::lab
