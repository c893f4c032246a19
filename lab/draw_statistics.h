#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

// What draws of a gradient estimate say about its mean, and about means of M of them. Vectors are
// flat: g* is exact, g one estimate, g_M the mean of M, mean the mean of all, V their covariance.
namespace gradthru::lab {

/// A number and its 95 % confidence interval; both ends are the number where it is exact.
struct Interval {
  double value, low, high;
};

/// What the mean of `M` estimates is worth.
struct AtSamples {
  int64_t M;
  double relative_rmse;                           ///< sqrt(E|g_M - g*|^2) / |g*|
  std::optional<double> rmse_low{}, rmse_high{};  ///< its 95 % interval, if that is over groups
  std::optional<double> cosine{};  ///< mean of cos(g_M, g*) over disjoint groups, if sampled
  std::optional<double> cosine_low{}, cosine_high{};  ///< 15 and 85 % of the groups lie below
};

/// Fewer draws say nothing.
inline constexpr int64_t kFewestDraws = 64;

/// Errors: InvalidInput, `where` being who wants them.
void require_draws(const char* where, int64_t draws);

/// The mean of all draws beside g*.
struct MeanOfDraws {
  at::Tensor mean;
  double variance;         ///< unbiased tr V
  double standard_error;   ///< sqrt(tr V / draws)
  double squared_bias;     ///< (|mean - g*|^2 - tr V / draws) / |g*|^2; may be negative
  Interval relative_bias;  ///< |mean - g*| / |g*|
  Interval cosine;         ///< cos(mean, g*)
};

/// Disjoint groups of M draws.
struct GroupsOfDraws {
  int64_t M;
  std::vector<double> squares;  ///< |g_M - g*|^2 of each group
  std::vector<double> cosines;  ///< cos(g_M, g*), where there is one
};

/// Sums over draws of what is off g*, in pieces that need not be kept.
class DrawStatistics {
 public:
  /// `sizes`: the M of the groups.
  DrawStatistics(const at::Tensor& exact, int64_t draws, const std::vector<int64_t>& sizes);

  /// Adds estimates [m, ..], number `first` and on.
  void add(const at::Tensor& estimates, int64_t first);

  MeanOfDraws mean() const;
  const std::vector<GroupsOfDraws>& groups() const { return groups_; }

 private:
  struct Partial {
    at::Tensor sum;  ///< of a group that is not complete
    int64_t count = 0;
  };

  void follow(GroupsOfDraws& groups, Partial& partial, const at::Tensor& off);
  void finish(GroupsOfDraws& groups, const at::Tensor& means) const;

  at::Tensor exact_;
  int64_t draws_;
  at::Tensor batches_;  ///< sums of a few large batches, for intervals
  double squares_ = 0;
  std::vector<GroupsOfDraws> groups_;
  std::vector<Partial> partial_;
};

/// Sets the cosine and its band in `at`, if there are at least two.
void set_cosines(AtSamples& at, const std::vector<double>& cosines);

/// The root of the mean of squares, and its 95 % interval by resampling them.
Interval root_mean_square(const std::vector<double>& squares);

/// Mean and Student interval of one number per batch.
Interval student(double value, const at::Tensor& per_batch);

/// How many batches student() wants.
inline constexpr int64_t kBatches = 32;

}  // namespace gradthru::lab
