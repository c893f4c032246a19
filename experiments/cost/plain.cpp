#include "experiments/cost/plain.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/nn/functional/activation.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "bench/check.h"
#include "bench/eager.h"
#include "gradthru/categorical.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;

constexpr int64_t kMostNumbers = int64_t{1} << 25;  // of one tensor of a way: 128 MiB
constexpr uint64_t kCheckSeed = 5;

bool is_torchs(const Estimator& e) {
  const double tau_f = e.hard ? 1 : e.tau_b.start;
  return e.method == Method::gumbel_softmax && e.is_constant() && e.tau_f.start == tau_f &&
         e.noise == Noise::scaled_sum;
}

Draw on_rows(const bench::Sampler& sampler) {
  return [sampler](const Tensor& logits) {
    return sampler(logits.reshape({-1, logits.size(-1)})).view(logits.sizes());
  };
}

/// Draws of one row of logits: what the sample was, and the gradient that it gave.
struct Draws {
  Tensor samples, gradients;  // [N, K], float64

  /// [N, K, K], whose mean is the gradient at each category, times its probability: the mean
  /// gradient alone would not tell estimators apart that are both exact for a linear function.
  Tensor by_category() const { return samples.unsqueeze(-1) * gradients.unsqueeze(1); }
};

Draws draws_of(const Draw& draw, const Tensor& logits, const Tensor& grad, int64_t count) {
  const Tensor leaf = logits.expand({count, logits.size(0)}).contiguous().requires_grad_();
  const Tensor value = draw(leaf);
  value.backward(grad.expand_as(value).contiguous());
  return {value.detach().to(at::kDouble), leaf.grad().to(at::kDouble)};
}

void require_same_mean(const Tensor& a, const Tensor& b, const Estimator& e, const char* what) {
  const auto n = static_cast<double>(a.size(0));
  const Tensor error = ((a.var(0) + b.var(0)) / n).sqrt() + 1e-6;
  const double worst = ((a.mean(0) - b.mean(0)).abs() / error).max().item<double>();
  if (worst <= kErrors) return;  // a NaN fails
  std::ostringstream text;
  text << "cost: the plain form of " << to_string(e) << " is another estimator: " << what
       << " differs by " << worst << " standard errors";
  throw std::runtime_error(text.str());
}

}  // namespace

std::vector<std::pair<std::string, Draw>> plain_ways(const Estimator& e, int64_t rows,
                                                     int64_t categories) {
  std::vector<std::pair<std::string, Draw>> ways;
  if (rows * categories > kMostNumbers / bench::eager_numbers_per_logit(e)) return ways;
  for (const bench::Sampler& sampler : bench::eager_ways(e)) {
    ways.emplace_back("plain " + std::to_string(ways.size() + 1), on_rows(sampler));
  }
  if (is_torchs(e)) {
    namespace F = torch::nn::functional;
    const auto options = F::GumbelSoftmaxFuncOptions().tau(e.tau_b.start).hard(e.hard);
    ways.emplace_back("torch gumbel_softmax", [options](const Tensor& logits) {
      return F::gumbel_softmax(logits, options);
    });
  }
  return ways;
}

void check_way(const Estimator& e, const Draw& way) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kCheckSeed);
  const Tensor logits = at::randn({64, 5}, generator), grad = at::randn({64, 5}, generator);
  bench::check_ours(e, logits, grad);
  if (e.hard) {
    bench::check_eager([&way](const Tensor& rows) { return way(rows); }, logits, grad);
  }
  const int64_t count = std::max<int64_t>(2000, 20000 / bench::eager_numbers_per_logit(e));
  const Draw library = [&e](const Tensor& rows) {
    return sample(rows, e, {.key = Key{.seed = kCheckSeed}}).onehot;
  };
  const Draws ours = draws_of(library, logits[0], grad[0], count);
  const Draws theirs = draws_of(way, logits[0], grad[0], count);
  require_same_mean(ours.samples, theirs.samples, e, "the mean sample");
  require_same_mean(ours.by_category(), theirs.by_category(), e, "the gradient of a category");
}

}  // namespace gradthru::experiments::cost
