#include "lab/draw_statistics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "gradthru/error.h"

namespace gradthru::lab {
namespace {

using at::Tensor;

constexpr double kStudent = 2.0395134464;  // 97.5 % of Student's t with kBatches - 1 = 31 degrees
constexpr size_t kResamples = 200;

double length_of(const Tensor& t) {
  return t.norm().item<double>();
}

}  // namespace

void require_draws(const char* where, int64_t draws) {
  if (draws >= kFewestDraws) return;
  throw InvalidInput(std::string(where) + " must be >= " + std::to_string(kFewestDraws) + ", got " +
                     std::to_string(draws));
}

DrawStatistics::DrawStatistics(const Tensor& exact, int64_t draws,
                               const std::vector<int64_t>& sizes)
    : exact_(exact.flatten()),
      draws_(draws),
      batches_(at::zeros({kBatches, exact.numel()}, exact.options())) {
  for (const int64_t M : sizes) groups_.push_back({M, {}, {}});
  partial_.resize(groups_.size());
}

void DrawStatistics::add(const Tensor& estimates, int64_t first) {
  const Tensor off = estimates.flatten(1) - exact_;
  squares_ += off.square().sum().item<double>();
  const Tensor batch =
      at::floor_divide(at::arange(first, first + off.size(0), at::kLong) * kBatches, draws_);
  batches_.index_add_(0, batch, off);
  for (size_t i = 0; i < groups_.size(); ++i) follow(groups_[i], partial_[i], off);
}

/// Means of whole groups, [groups, n], off g*.
void DrawStatistics::finish(GroupsOfDraws& groups, const Tensor& means) const {
  const Tensor squares = means.square().sum(1), g = means + exact_;
  const Tensor cosines = g.mv(exact_) / (g.norm(2, 1) * exact_.norm());
  const auto append = [](std::vector<double>& all, const Tensor& values) {
    const double* begin = values.const_data_ptr<double>();
    all.insert(all.end(), begin, begin + values.numel());
  };
  append(groups.squares, squares);
  append(groups.cosines, cosines.masked_select(cosines.isfinite()));
}

void DrawStatistics::follow(GroupsOfDraws& groups, Partial& partial, const Tensor& off) {
  const int64_t M = groups.M;
  int64_t at = 0;
  if (partial.count > 0) {
    at = std::min(off.size(0), M - partial.count);
    partial.sum += off.slice(0, 0, at).sum(0);
    partial.count += at;
    if (partial.count < M) return;
    finish(groups, partial.sum.unsqueeze(0) / static_cast<double>(M));
    partial.count = 0;
  }
  const int64_t whole = (off.size(0) - at) / M;
  if (whole > 0) finish(groups, off.slice(0, at, at + whole * M).view({whole, M, -1}).mean(1));
  at += whole * M;
  if (at == off.size(0)) return;
  partial.sum = off.slice(0, at).sum(0);
  partial.count = off.size(0) - at;
}

MeanOfDraws DrawStatistics::mean() const {
  const double n = static_cast<double>(draws_), length = length_of(exact_);
  const Tensor off = batches_.sum(0) / n;
  const double bias = length_of(off);
  MeanOfDraws result;
  result.mean = exact_ + off;
  result.variance = std::max(0.0, (squares_ - n * bias * bias) / (n - 1));
  result.standard_error = std::sqrt(result.variance / n);
  result.squared_bias = (bias * bias - result.variance / n) / (length * length);
  // Along the direction of the mean's error the batches are numbers; so are their cosines.
  const Tensor batches = batches_ * (static_cast<double>(kBatches) / n);
  const Tensor along = bias > 0 ? batches.mv(off) / bias : batches.norm(2, 1);
  result.relative_bias = student(bias / length, along / length);
  const double size = length_of(result.mean);
  const double cosine = result.mean.dot(exact_).item<double>() / (size * length);
  // cos of mean + d is cos + d . (g*/|g*| - cos mean/|mean|) / |mean|, to first order in d.
  const Tensor slope = (exact_ / length - cosine * result.mean / size) / size;
  result.cosine = student(cosine, batches.mv(slope));
  return result;
}

void set_cosines(AtSamples& at, const std::vector<double>& cosines) {
  if (cosines.size() < 2) return;
  const Tensor values = at::tensor(cosines, at::kDouble);
  at.cosine = values.mean().item<double>();
  at.cosine_low = values.quantile(0.15).item<double>();
  at.cosine_high = values.quantile(0.85).item<double>();
}

Interval root_mean_square(const std::vector<double>& squares) {
  std::mt19937_64 random(squares.size());
  std::uniform_int_distribution<size_t> any(0, squares.size() - 1);
  const double n = static_cast<double>(squares.size());
  std::vector<double> roots;
  for (size_t i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (size_t j = 0; j < squares.size(); ++j) sum += squares[any(random)];
    roots.push_back(std::sqrt(sum / n));
  }
  std::sort(roots.begin(), roots.end());
  double sum = 0;
  for (const double square : squares) sum += square;
  constexpr size_t kTail = kResamples / 40;  // 2.5 %
  return {std::sqrt(sum / n), roots[kTail], roots[kResamples - 1 - kTail]};
}

Interval student(double value, const Tensor& per_batch) {
  const double half =
      kStudent * per_batch.std().item<double>() / std::sqrt(static_cast<double>(kBatches));
  return {value, value - half, value + half};
}

}  // namespace gradthru::lab
