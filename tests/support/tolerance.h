#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "gradthru/estimator.h"
#include "gradthru/precision.h"
#include "support/estimators.h"
#include "support/rows.h"

namespace support {

/// What a gradient computed in `dtype` may differ by from the double reference: the one table.
///   float64: 1e-12 of the largest |g|; float32: kFloatErrorBound of it, divided by the smallest
///   temperature where that is below 1.
/// What divides by the probability of the drawn category does so with its tolerance.
inline double gradient_tolerance(at::ScalarType dtype, double max_g, const gradthru::Estimator& e,
                                 double smallest_probability) {
  const double smallest_tau = std::min({e.tau_f.start, e.tau_b.start, 1.0});
  const double relative = dtype == at::kDouble ? 1e-12 : gradthru::kFloatErrorBound / smallest_tau;
  return relative * max_g / (divides_by_probability(e) ? smallest_probability : 1);
}

/// Every element within `tolerance`; a NaN on one side only is a difference.
inline void expect_near(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const at::Tensor difference = actual.detach().to(at::kDouble) - expected.to(at::kDouble);
  EXPECT_LE(max_abs(difference), tolerance) << what;
}

inline void expect_same_bits(const at::Tensor& actual, const at::Tensor& expected,
                             const std::string& what) {
  EXPECT_TRUE(at::equal(actual, expected)) << what << "\n" << actual << "\n" << expected;
}

}  // namespace support
