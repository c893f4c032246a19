// The binary kernels: estimator x size x dtype, forward, backward and both.
#include <stdexcept>

#include "bench/cases.h"

namespace gradthru::bench {
namespace {

constexpr const char* kEstimators = "st;darn;zgr;reinmax(1.3);gst;gumbel_softmax;gumbel_rao(10)";

/// A value in {0, 1}; a gradient that is finite, proportional to the incoming one and, with the
/// draw replayed, the same again in double.
void check(const Estimator& estimator, const at::Tensor& logits, const at::Tensor& grad) {
  const Key key{.seed = 3};
  const at::Tensor leaf = logits.detach().requires_grad_();
  const at::Tensor value = sample_binary(leaf, estimator, {.key = key});
  if (!(value.eq(0) | value.eq(1)).all().item<bool>()) throw std::runtime_error("not 0 or 1");
  value.backward(grad);
  const at::Tensor twice = logits.detach().requires_grad_();
  sample_binary(twice, estimator, {.key = key}).backward(2 * grad);
  if (!leaf.grad().isfinite().all().item<bool>()) throw std::runtime_error("gradient not finite");
  if (!at::allclose(twice.grad(), 2 * leaf.grad(), 1e-2, 1e-6)) {
    throw std::runtime_error("the gradient is not linear in the incoming one");
  }
  const at::Tensor wide = logits.to(at::kDouble).detach().requires_grad_();
  const at::Tensor again = sample_binary(wide, estimator, {.key = key});
  again.backward(grad.to(at::kDouble));
  // Where rounding flips a draw the gradients may differ.
  const at::Tensor same = value.detach().to(at::kDouble).eq(again.detach());
  const at::Tensor error = (leaf.grad().to(at::kDouble) - wide.grad()).abs().masked_select(same);
  const bool narrow = logits.element_size() < 4;
  const double limit = (narrow ? 2e-2 : 1e-5) * grad.abs().max().to(at::kDouble).item<double>();
  if (!(error.max().item<double>() <= limit)) throw std::runtime_error("the gradient is off");
}

void run(benchmark::State& state, const Estimator& estimator, int64_t size, at::ScalarType type,
         Pass pass) {
  const at::Tensor logits = at::randn({size}).to(type), grad = at::randn({size}).to(type);
  if (!passes_check(state, [&] { check(estimator, logits, grad); })) return;
  time_pass(state, pass, logits, grad,
            [&](const at::Tensor& leaf) { return sample_binary(leaf, estimator); });
}

const bool registered = [] {
  for (const Estimator& estimator : parse_estimators(kEstimators)) {
    for (const auto& [type, type_name] : dtypes()) {
      if (!is_supported(type, [&](const at::Tensor& x) { sample_binary(x, estimator); })) continue;
      for (const int64_t size : {int64_t{400}, int64_t{30000}, int64_t{1} << 20}) {
        for (const auto& [pass, pass_name] : passes()) {
          const std::string title = "binary/" + to_string(estimator) + "/" + std::to_string(size) +
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
