#include "bench/check.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "gradthru/categorical.h"

namespace gradthru::bench {
namespace {

using at::Tensor;

constexpr int64_t kCheckedNumbers = int64_t{1} << 20;

[[noreturn]] void fail(const std::string& text) {
  throw std::runtime_error(text);
}

void require_at_most(double value, double limit, const char* what) {
  // Written so that a NaN fails.
  if (value <= limit) return;
  std::ostringstream text;
  text << what << ": " << value << ", wanted at most " << limit;
  fail(text.str());
}

/// Relative to the largest incoming gradient; a half-precision gradient is rounded once.
double tolerance(const Tensor& grad, double tau) {
  const auto type = grad.scalar_type();
  const double unit = type == at::kDouble || type == at::kFloat ? 1e-5
                      : type == at::kHalf                       ? 2e-3
                                                                : 1.6e-2;
  const double scale = std::max(1.0, 1 / tau);
  return unit * scale * scale * grad.abs().max().to(at::kDouble).item<double>();
}

double largest(const Tensor& values) {
  return values.abs().max().to(at::kDouble).item<double>();
}

/// Takes rows spread over the whole, so few that a check in double stays quick.
class SomeRows {
 public:
  explicit SomeRows(const Tensor& matrix) {
    const int64_t wanted = std::max<int64_t>(1, kCheckedNumbers / matrix.size(1));
    step_ = std::max<int64_t>(1, matrix.size(0) / wanted);
  }

  Tensor operator()(const Tensor& t) const { return t.slice(0, std::nullopt, std::nullopt, step_); }

 private:
  int64_t step_ = 1;
};

Tensor gradient(const Tensor& value, const Tensor& leaf, const Tensor& grad) {
  value.backward(grad);
  return leaf.grad();
}

void check_one_hot(const Tensor& value, const Tensor& index) {
  const Tensor ones = value.eq(1).sum(-1);
  if (!ones.eq(1).all().item<bool>() || value.ne(0).sum().item<int64_t>() != ones.numel()) {
    fail("the sample is not one-hot");
  }
  if (!value.argmax(-1).equal(index)) fail("the index is not that of the sample");
}

void check_sum(const Tensor& got, double limit) {
  if (!got.isfinite().all().item<bool>()) fail("the gradient is not finite");
  if (got.scalar_type() != at::kFloat && got.scalar_type() != at::kDouble) return;
  require_at_most(largest(SomeRows(got)(got).to(at::kDouble).sum(-1)), limit,
                  "the gradient does not sum to zero");
}

}  // namespace

void check_ours(const Estimator& estimator, const Tensor& logits, const Tensor& grad) {
  const Tensor leaf = logits.detach().requires_grad_();
  const Sample drawn = sample(leaf, estimator);
  const Tensor got = gradient(drawn.onehot, leaf, grad);
  const double limit = tolerance(grad, estimator.tau_b.start);
  if (estimator.hard) check_one_hot(drawn.onehot.detach(), drawn.index);
  if (estimator.method != Method::identity) check_sum(got, limit);
  const auto given = eager_given(estimator);
  if (!given) return;
  const SomeRows some_rows(logits);
  const Tensor theta = some_rows(logits).to(at::kDouble).detach().requires_grad_();
  const Tensor expected = gradient(given(theta, some_rows(drawn.index).unsqueeze(-1)), theta,
                                   some_rows(grad).to(at::kDouble));
  require_at_most(largest(some_rows(got).to(at::kDouble) - expected), limit, "the gradient is off");
}

void check_eager(const Sampler& sampler, const Tensor& logits, const Tensor& grad) {
  const Tensor leaf = logits.detach().requires_grad_();
  const Tensor value = sampler(leaf);
  const Tensor hard = value.detach().round();
  require_at_most(largest(value.detach() - hard), 1e-5, "the sample is not one-hot");
  check_one_hot(hard, hard.argmax(-1));
  check_sum(gradient(value, leaf, grad), 1e-4 * largest(grad));
}

}  // namespace gradthru::bench
