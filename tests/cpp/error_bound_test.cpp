#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "gradthru/precision.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"

// The error bound of float32 that the public header states, on many rows of every size.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using support::Row;

constexpr Key kKey{.seed = 99, .offset = 4, .row0 = 3};

class ErrorBound : public testing::TestWithParam<gradthru::Method> {};

/// The largest error of a call's rows, in units of the bound.
double worst_row(const Estimator& e, int64_t rows, int64_t K) {
  support::Random random(static_cast<uint64_t>(K));
  const at::Tensor logits = random.normal({rows, K}, support::kLogitScale, at::kFloat);
  const at::Tensor g = random.normal({rows, K}, 1, at::kFloat);
  const support::Outcome run = support::run(logits, e, {.key = kKey}, g);
  double worst = 0;
  for (int64_t n = 0; n < rows; ++n) {
    const Row row = support::row_of(logits[n]), arriving = support::row_of(g[n]);
    const int64_t index = run.drawn.index[n].item<int64_t>();
    const Row exact = support::reference_grad(row, index, arriving, e, kKey, n);
    const Row probs = reference::softmax(row, support::sampling_tau(e));
    const double bound =
        gradthru::kFloatErrorBound * support::max_abs(g[n]) /
        std::min({e.tau_f.start, e.tau_b.start, 1.0}) /
        (support::divides_by_probability(e) ? probs[static_cast<size_t>(index)] : 1);
    worst = std::max(
        worst, support::max_abs(run.grad[n].to(at::kDouble) - support::tensor_of(exact)) / bound);
  }
  return worst;
}

TEST_P(ErrorBound, Holds) {
  double worst = 0;
  for (const Estimator& e : support::sweep(GetParam()))
    for (const auto& [rows, K] :
         {std::pair<int64_t, int64_t>{60, 2}, {60, 10}, {20, 64}, {20, 65}, {2, 3000}}) {
      if (K > support::most_categories(e)) continue;
      const double error = worst_row(e, rows, K);
      EXPECT_LE(error, 1) << to_string(e) << " K=" << K;
      worst = std::max(worst, error);
    }
  // A bound that nothing comes near says nothing; identity passes g on unchanged.
  EXPECT_GE(worst, GetParam() == gradthru::Method::identity ? 0 : 1e-4);
  std::printf("  %s: %.3f of the bound\n", std::string(gradthru::name(GetParam())).c_str(), worst);
}

INSTANTIATE_TEST_SUITE_P(Every, ErrorBound,
                         testing::ValuesIn(gradthru::methods(gradthru::Family::pathwise)),
                         [](const auto& t) { return std::string(gradthru::name(t.param)); });

}  // namespace
