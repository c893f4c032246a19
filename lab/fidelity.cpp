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

constexpr int64_t kMostSamples = 4096;  // of the curves
constexpr const char* kDraws = "fidelity: draws";

double length_of(const Tensor& t) {
  return t.norm().item<double>();
}

double product(const Tensor& a, const Tensor& b) {
  return (a * b).sum().item<double>();
}

double cosine_of(const Tensor& a, const Tensor& b) {
  return product(a, b) / (length_of(a) * length_of(b));
}

/// 1, 4, 16, ...
std::vector<int64_t> sample_counts(int64_t most) {
  std::vector<int64_t> all;
  for (int64_t M = 1; M <= std::min(kMostSamples, most); M *= 4) all.push_back(M);
  return all;
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
  for (const int64_t M : sample_counts(kMostSamples)) {
    const double rmse = std::sqrt(bias * bias + result.variance / static_cast<double>(M)) / length;
    result.by_samples.push_back({M, rmse});
  }
  return result;
}

/// How many draws are worked on at once, each with so many evaluations of f.
int64_t block_of(const Problem& p, double evaluations, int64_t draws) {
  const double each = std::max(1.0, evaluations) * static_cast<double>(p.logits.numel());
  const double block = static_cast<double>(kBlockElements) / each;
  return std::clamp<int64_t>(static_cast<int64_t>(block), 1, draws);
}

Fidelity from_draws(const Problem& p, Fidelity result, const FidelityOptions& options) {
  require_draws(kDraws, options.draws);
  const Tensor& exact = result.exact_gradient;
  const Estimator& e = result.estimator;
  const int64_t block = block_of(p, evaluations(e, p.L(), p.K()), options.draws);
  DrawStatistics statistics(exact, options.draws, sample_counts(options.draws / 2));
  Key key = options.key;
  for (int64_t first = 0; first < options.draws; first += block) {
    const int64_t count = std::min(block, options.draws - first);
    key.row0 = options.key.row0 + first * p.B() * p.L();
    statistics.add(estimates(p, e, count, {.key = key}), first);
  }
  const MeanOfDraws mean = statistics.mean();
  result.draws = options.draws;
  result.mean = mean.mean.view_as(exact);
  result.variance = mean.variance;
  result.standard_error = mean.standard_error;
  result.squared_bias = mean.squared_bias;
  result.relative_bias = mean.relative_bias;
  result.cosine = mean.cosine;
  const double length = length_of(exact), bias = std::max(0.0, mean.squared_bias);
  for (const GroupsOfDraws& groups : statistics.groups()) {
    const double spread = mean.variance / static_cast<double>(groups.M) / (length * length);
    AtSamples at{groups.M, std::sqrt(bias + spread)};
    set_cosines(at, groups.cosines);
    result.by_samples.push_back(at);
  }
  return result;
}

Interval mean_gap(const Problem& p, const Fidelity& result, const FidelityOptions& options) {
  require_draws(kDraws, options.draws);
  const int64_t draws = options.draws / kBatches * kBatches;
  const int64_t block = block_of(p, 2, draws);
  Key key = options.key;
  std::vector<Tensor> gaps;
  for (int64_t first = 0; first < draws; first += block) {
    key.row0 = options.key.row0 + first * p.B() * p.L();
    gaps.push_back(gradient_gaps(p, result.estimator, std::min(block, draws - first), key));
  }
  const Tensor groups =
      at::cat(gaps).view({kBatches, -1}).mean(1) / length_of(result.exact_gradient);
  return student(groups.mean().item<double>(), groups);
}

}  // namespace

std::vector<Fidelity> measure(const Problem& p, const std::vector<Estimator>& estimators,
                              const FidelityOptions& options) {
  std::map<double, Tensor> exact;  // by temperature: one enumeration serves all
  const auto exact_at = [&](double tau) {
    Tensor& known = exact[tau];
    if (!known.defined()) known = exact_gradient(p, tau);
    return known;
  };
  std::vector<Fidelity> results;
  std::vector<Estimator> enumerated;
  for (const Estimator& e : estimators) {
    Fidelity result{};
    result.estimator = e;
    result.tau_f = traits(e).sampling_tau;
    result.target_tau = options.target_tau.value_or(result.tau_f);
    result.exact_gradient = exact_at(result.target_tau);
    result.enumerated = is_enumerable(e) && !options.sampled;
    if (result.enumerated) enumerated.push_back(e);
    if (e.method == Method::exact) {
      result.enumerated = true;
      const Tensor own = exact_at(result.tau_f);
      result = from_moments({own, at::zeros_like(own)}, result);
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
