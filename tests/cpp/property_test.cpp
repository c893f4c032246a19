#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/option_case.h"
#include "support/option_cases.h"

// Calls of every shape, layout, dtype, method and combination of options, made by RapidCheck,
// against the double reference; what fails is made smaller until it is easy to read.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using support::Case;
using support::Layout;

/// The same calls in every run, unless RC_PARAMS says otherwise.
const bool kSeeded = setenv("RC_PARAMS", "seed=20240 max_success=5000", 0) == 0;

/// In [low, high), whatever the size that RapidCheck is at.
template <class T>
T between(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(low, high));
}

bool chance(int in_a_hundred) {
  return between(0, 100) >= 100 - in_a_hundred;  // shrinks to no
}

uint64_t seed() {
  return static_cast<uint64_t>(between(0, 1 << 20));
}

Estimator any_estimator() {
  const auto method = *rc::gen::elementOf(gradthru::methods(gradthru::Family::pathwise));
  return *rc::gen::elementOf(support::sweep(method));
}

/// Both sides of where the kernels change their ways.
int64_t any_size(const Estimator& e) {
  const int group = between(0, 4);
  const int64_t K = group == 2 ? between(60, 70) : group == 3 ? between(100, 150) : between(1, 20);
  return std::min(K, support::most_categories(e));
}

/// `shape` with some of its sizes 1 and some leading ones left out.
std::vector<int64_t> broadcastable(std::vector<int64_t> shape) {
  for (int64_t& size : shape)
    if (chance(30)) size = 1;
  const auto dropped = between<size_t>(0, shape.size() + 1);
  if (chance(30)) shape.erase(shape.begin(), shape.begin() + static_cast<long>(dropped));
  return shape;
}

at::Tensor any_layout(const at::Tensor& t, int64_t row_dim) {
  const Layout layout = *rc::gen::elementOf(support::kLayouts);
  if (layout == Layout::expanded && t.dim() < 2) return t;
  return support::arranged(t, layout, row_dim);
}

bool takes(const Estimator& e, const char* key) {
  const auto known = gradthru::about(e.method).parameters;
  return std::find(known.begin(), known.end(), key) != known.end();
}

void add_temperatures(Case& c, const Estimator& e, const std::vector<int64_t>& rows) {
  const auto tensor = [&] {
    at::Tensor tau = support::Random(seed()).integers(broadcastable(rows), 2, 12).to(at::kDouble);
    if (chance(20) && tau.numel() > 0) tau.flatten()[0].fill_(-1);
    return tau / 4;
  };
  if (!e.hard) {
    if (chance(30)) c.options.tau_f = c.options.tau_b = tensor();
    return;
  }
  if (takes(e, "tau_f") && chance(30)) c.options.tau_f = tensor();
  if (takes(e, "tau_b") && chance(30)) c.options.tau_b = tensor();
}

void add_mixture(Case& c, const Estimator& e) {
  const gradthru::UniformMix rule = gradthru::about(e.method).uniform_mix;
  const bool tensors = c.options.tau_f || c.options.tau_b;
  const bool allowed = rule == gradthru::UniformMix::taken ||
                       (rule == gradthru::UniformMix::tied && e.tau_f == e.tau_b && !tensors);
  if (allowed && chance(30)) c.options.uniform_mix = 0.01 * between(1, 99);
}

/// A few elements replaced by what is no number, or by no category.
at::Tensor with_holes(at::Tensor logits) {
  const auto put = [&](double value, int64_t modulus) {
    const at::Tensor here = support::Random(seed()).integers(logits.sizes(), 0, modulus).eq(0);
    logits = logits.masked_fill(here, value);
  };
  if (chance(40)) put(-support::kInfinity, 3);
  if (chance(15)) put(support::kNan, 40);
  if (chance(15)) put(support::kInfinity, 40);
  return logits;
}

Case any_case(const Estimator& e) {
  const int64_t K = any_size(e);
  std::vector<int64_t> rows;
  for (int n = between(0, 4); n > 0; --n) rows.push_back(between(1, 5));
  if (chance(20)) rows = {between(15, 35)};  // more than a block of lanes
  const auto dim = between<int64_t>(0, static_cast<int64_t>(rows.size()) + 1);
  std::vector<int64_t> shape = rows;
  shape.insert(shape.begin() + dim, K);
  Case c;
  support::Random random(seed());
  const double scale = *rc::gen::element(1.5, 0.01, 6.0);
  c.logits = with_holes(random.normal(shape, scale));
  const int64_t row_dim = dim == 0 ? static_cast<int64_t>(shape.size()) - 1 : 0;
  std::vector<int64_t> arriving = shape;
  if (chance(30)) {
    c.options.samples = between(1, 4);
    arriving.insert(arriving.begin(), *c.options.samples);
  }
  const at::ScalarType dtype = *rc::gen::element(at::kFloat, at::kDouble, at::kHalf, at::kBFloat16);
  c.logits = any_layout(c.logits.to(dtype), row_dim);
  c.g = any_layout(random.normal(arriving, 1, dtype), 0);
  c.options.dim = chance(50) ? dim : dim - static_cast<int64_t>(shape.size());
  if (chance(40)) c.options.mask = random.integers(broadcastable(shape), 0, 3).ne(0);
  if (chance(20)) c.options.index = random.integers(rows, -1, K - 1);
  add_temperatures(c, e, rows);
  add_mixture(c, e);
  c.what = "dim " + std::to_string(c.options.dim) + " of [" + c10::str(c.logits.sizes()) +
           "] strides [" + c10::str(c.logits.strides()) + "] g strides [" +
           c10::str(c.g.strides()) + "] mix " + std::to_string(c.options.uniform_mix) +
           (c.options.mask ? " mask [" + c10::str(c.options.mask->sizes()) + "]" : "") +
           (c.options.index ? " index" : "") + (c.options.tau_f ? " tau_f" : "") +
           (c.options.tau_b ? " tau_b" : "") +
           (c.options.samples ? " samples " + std::to_string(*c.options.samples) : "");
  return c;
}

RC_GTEST_PROP(Property, EveryCallIsThatOfTheReference, ()) {
  const Estimator e = any_estimator();
  const Case c = any_case(e);
  const Key key{.seed = seed(), .offset = seed(), .row0 = int64_t{between(0, 1000)} << 25};
  testing::TestPartResultArray faults;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &faults);
    support::expect_as_reference(c, e, key);
  }
  if (faults.size() > 0) RC_FAIL(c.what + " " + faults.GetTestPartResult(0).message());
}

}  // namespace
