#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/gradient.h"
#include "support/option_reference.h"
#include "support/rows.h"
#include "support/tolerance.h"

// One call with options, and the comparison of its result with the reference.
namespace support {

struct Case {
  std::string what;
  at::Tensor logits, g;
  gradthru::SampleOptions options{};
};

inline bool is_half(at::ScalarType dtype) {
  return dtype == at::kHalf || dtype == at::kBFloat16;
}

inline std::vector<int64_t> row_shape(const at::Tensor& logits, int64_t dim) {
  std::vector<int64_t> shape = logits.sizes().vec();
  shape.erase(shape.begin() + (dim < 0 ? dim + logits.dim() : dim));
  return shape;
}

/// The temperatures of all rows: the tensor's, or the estimator's for each.
inline Row temperatures(const std::optional<at::Tensor>& tau, double otherwise,
                        at::IntArrayRef shape) {
  return row_of(tau ? tau->expand(shape) : at::full(shape, otherwise, at::kDouble));
}

inline int64_t samples_of(const Case& c) {
  return c.options.samples.value_or(1);
}

/// The outcome of every row of every sample, sample by sample.
inline std::vector<std::vector<RowOutcome>> expected_rows(const Case& c, const Estimator& e,
                                                          const gradthru::Key& key) {
  const int64_t dim = c.options.dim, S = samples_of(c);
  const Estimator fitted = for_categories(e, c.logits.size(dim));
  const std::vector<int64_t> shape = row_shape(c.logits, dim);
  const std::vector<Row> logits = rows_of(c.logits, dim);
  const at::Tensor mask = c.options.mask.value_or(at::ones({}, at::kBool)).expand(c.logits.sizes());
  const std::vector<Row> allowed = rows_of(mask, dim);
  const Row tau_f = temperatures(c.options.tau_f, e.tau_f.start, shape);
  const Row tau_b = temperatures(c.options.tau_b, e.tau_b.start, shape);
  std::vector<std::vector<RowOutcome>> all;
  for (int64_t s = 0; s < S; ++s) {
    gradthru::Key shifted = key;
    shifted.take(static_cast<uint64_t>(s) * offsets_of(e, c.options.index.has_value()));
    const std::vector<Row> g = rows_of(c.options.samples ? c.g[s] : c.g, dim);
    std::vector<int64_t> given;
    if (c.options.index) given = indices_of(*c.options.index);
    std::vector<RowOutcome> rows;
    for (size_t n = 0; n < logits.size(); ++n) {
      RowCall call{.logits = logits[n], .g = g[n], .mask = {}, .e = fitted};
      for (double flag : allowed[n]) call.mask.push_back(flag != 0);
      call.e.tau_f = tau_f[n];
      call.e.tau_b = tau_b[n];
      call.temperatures_valid = (!c.options.tau_f || valid_temperature(tau_f[n])) &&
                                (!c.options.tau_b || valid_temperature(tau_b[n]));
      call.uniform_mix = c.options.uniform_mix;
      if (c.options.index)
        call.given = given[(static_cast<size_t>(s) * logits.size() + n) % given.size()];
      rows.push_back(reference_row(call, shifted, static_cast<int64_t>(n)));
    }
    all.push_back(rows);
  }
  return all;
}

/// Entries of `actual` where `allowed`: as `expected` within the tolerance, or all NaN; elsewhere
/// 0.
inline void expect_row(const Row& actual, const Row& expected, const RowOutcome& row,
                       double tolerance, const std::string& what) {
  for (size_t k = 0; k < actual.size(); ++k) {
    if (row.state == State::invalid) {
      EXPECT_TRUE(!row.allowed[k] || std::isnan(actual[k])) << what << " column " << k;
    } else if (!row.allowed[k]) {
      EXPECT_EQ(actual[k], 0) << what << " column " << k << ", which does not exist";
    } else {
      EXPECT_NEAR(actual[k], expected[k], tolerance) << what << " column " << k;
    }
  }
}

inline double largest_allowed(const Row& g, const RowOutcome& row) {
  double largest = 0;
  for (size_t k = 0; k < g.size(); ++k)
    if (row.allowed[k]) largest = std::max(largest, std::abs(g[k]));
  return largest;
}

inline void expect_gradients(const Case& c, const Estimator& e, const at::Tensor& grad,
                             const std::vector<std::vector<RowOutcome>>& expected) {
  const std::vector<Row> grads = rows_of(grad, c.options.dim);
  const std::vector<int64_t> shape = row_shape(c.logits, c.options.dim);
  const Row tau_f = temperatures(c.options.tau_f, e.tau_f.start, shape);
  const Row tau_b = temperatures(c.options.tau_b, e.tau_b.start, shape);
  for (size_t n = 0; n < grads.size(); ++n) {
    const std::string what = c.what + ": gradient of row " + std::to_string(n);
    Row sum(grads[n].size(), 0.0);
    double tolerance = 0;
    RowOutcome row = expected[0][n];
    for (size_t s = 0; s < expected.size(); ++s) {
      const RowOutcome& one = expected[s][n];
      if (one.state == State::invalid) row.state = State::invalid;
      row.nan_grad = row.nan_grad || one.nan_grad;
      sum = reference::plus(sum, one.grad);
      Estimator with_row = e;
      // Temperature 0 scales no gradient, nor does one that is none in a skipped row.
      with_row.tau_f = valid_temperature(tau_f[n]) ? tau_f[n] : 1;
      with_row.tau_b = valid_temperature(tau_b[n]) ? tau_b[n] : 1;
      const auto sample = static_cast<int64_t>(s);
      const Row g = rows_of(c.options.samples ? c.g[sample] : c.g, c.options.dim)[n];
      tolerance += gradient_tolerance(c.logits.scalar_type(), largest_allowed(g, one), with_row,
                                      one.probability);
    }
    if (row.state == State::drawn && row.nan_grad) {
      EXPECT_TRUE(std::any_of(grads[n].begin(), grads[n].end(), [](double v) {
        return std::isnan(v);
      })) << what;
      continue;
    }
    expect_row(grads[n], sum, row, tolerance, what);
  }
}

inline void expect_forward(const Case& c, const gradthru::Sample& drawn, const Estimator& e,
                           const std::vector<std::vector<RowOutcome>>& expected) {
  const double tolerance = e.hard ? 0 : c.logits.scalar_type() == at::kDouble ? 1e-12 : 2e-5;
  const std::vector<int64_t> index = indices_of(drawn.index);
  for (size_t s = 0; s < expected.size(); ++s) {
    const auto sample = static_cast<int64_t>(s);
    const at::Tensor one = c.options.samples ? drawn.onehot[sample] : drawn.onehot;
    const std::vector<Row> values = rows_of(one, c.options.dim);
    for (size_t n = 0; n < values.size(); ++n) {
      const RowOutcome& row = expected[s][n];
      const std::string what =
          c.what + ": sample " + std::to_string(s) + " of row " + std::to_string(n);
      EXPECT_EQ(index[s * values.size() + n], row.index) << what;
      expect_row(values[n], row.value, row, tolerance, what);
    }
  }
}

/// Half precision: one rounding away from the result in float32 of the same numbers.
inline void expect_one_rounding(const at::Tensor& actual, const at::Tensor& exact,
                                const std::string& what) {
  const bool half = actual.scalar_type() == at::kHalf;
  const at::Tensor wide = exact.to(at::kDouble);
  const at::Tensor bound =
      wide.abs() * (half ? 0x1p-11 : 0x1p-8) * 1.001 + (half ? 0x1p-25 : 0) + 1e-6;
  EXPECT_TRUE(at::equal(actual.isnan(), exact.isnan())) << what;
  // Beyond the range of float16 the rounding is infinite.
  const at::Tensor rounded = actual.eq(exact.to(actual.scalar_type()));
  const at::Tensor excess =
      ((actual.to(at::kDouble) - wide).abs() - bound).nan_to_num(0.0).masked_fill(rounded, -1);
  EXPECT_TRUE(excess.numel() == 0 || excess.max().item<double>() <= 0) << what << actual << exact;
}

inline Case in_dtype(Case c, at::ScalarType dtype) {
  c.logits = c.logits.to(dtype);
  c.g = c.g.to(dtype);
  return c;
}

/// Runs the call and compares value, index and gradient with the reference.
inline void expect_as_reference(Case c, const Estimator& e, const gradthru::Key& key) {
  c.options.key = key;
  c.what += " " + std::string(c10::toString(c.logits.scalar_type())) + " " + to_string(e);
  SCOPED_TRACE(c.what);
  const Outcome run = support::run(c.logits, e, c.options, c.g);
  ASSERT_EQ(run.drawn.onehot.scalar_type(), c.logits.scalar_type());
  ASSERT_EQ(run.grad.scalar_type(), c.logits.scalar_type());
  ASSERT_EQ(run.grad.sizes(), c.logits.sizes());
  std::vector<int64_t> index_shape = row_shape(c.logits, c.options.dim);
  if (c.options.samples) index_shape.insert(index_shape.begin(), *c.options.samples);
  ASSERT_EQ(run.drawn.index.sizes(), index_shape);
  if (is_half(c.logits.scalar_type())) {
    const Case wide = in_dtype(c, at::kFloat);
    const Outcome exact = support::run(wide.logits, e, wide.options, wide.g);
    expect_same_bits(run.drawn.index, exact.drawn.index, c.what);
    expect_one_rounding(run.drawn.onehot, exact.drawn.onehot, c.what + ": sample");
    expect_one_rounding(run.grad, exact.grad, c.what + ": gradient");
    return;
  }
  const auto expected = expected_rows(c, e, key);
  expect_forward(c, run.drawn, e, expected);
  expect_gradients(c, e, run.grad, expected);
}

}  // namespace support
