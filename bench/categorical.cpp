// The categorical kernels: estimator x shape x dtype, forward, backward and both.
#include "bench/cases.h"
#include "bench/check.h"

namespace gradthru::bench {
namespace {

constexpr const char* kEstimators =
    "st;darn;zgr;reinmax(1.3);gst;gumbel_softmax;gumbel_rao(10);gumbel_rao(100,tau=0.5)";

void run(benchmark::State& state, const Estimator& estimator, Size size, at::ScalarType type,
         Pass pass) {
  const at::Tensor logits = at::randn({size.rows, size.categories}).to(type);
  const at::Tensor grad = at::randn({size.rows, size.categories}).to(type);
  if (!passes_check(state, [&] { check_ours(estimator, logits, grad); })) return;
  time_pass(state, pass, logits, grad,
            [&](const at::Tensor& leaf) { return sample(leaf, estimator).onehot; });
}

/// An inner draw per element and sample is too long to be timed on millions of them.
bool is_short(const Estimator& estimator, Size size) {
  return traits(estimator).offsets * static_cast<uint64_t>(size.rows * size.categories) < 200000000;
}

const bool registered = [] {
  for (const Estimator& estimator : parse_estimators(kEstimators)) {
    for (const auto& [type, type_name] : dtypes()) {
      if (!is_supported(type, [&](const at::Tensor& x) { sample(x, estimator); })) continue;
      for (const Size size : sizes()) {
        for (const auto& [pass, pass_name] : passes()) {
          if (!is_short(estimator, size)) continue;
          const std::string title = "categorical/" + to_string(estimator) + "/" + size.text() +
                                    "/" + type_name + "/" + pass_name;
          benchmark::RegisterBenchmark(title.c_str(),
                                       [=, type = type, pass = pass](benchmark::State& state) {
                                         run(state, estimator, size, type, pass);
                                       });
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace gradthru::bench
