#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "experiments/cost/workloads.h"
#include "gradthru/expectation.h"
#include "lab/functions.h"
#include "train/streams.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;

constexpr double kPower = 2, kTarget = 0.45;

class Polynomial : public CategoricalWorkload {
 public:
  Polynomial(int64_t K, int64_t L, int64_t batch, uint64_t seed) : batch_(batch) {
    const Tensor v = lab::polynomial_values(K);
    f_ = lab::polynomial(kPower, kTarget, v.to(at::kFloat));
    values_ = (v - kTarget).abs().pow(kPower).to(at::kFloat);
    auto generator = at::make_generator<at::CPUGeneratorImpl>(train::stream_seed(seed, "init"));
    logits_ = at::empty({L, K}).uniform_(-0.01, 0.01, generator).requires_grad_();
    optimise("adam", {logits_});
    noise_ = train::stream_key(seed, "noise");
  }

  int64_t examples() const override { return batch_; }

 protected:
  Tensor by_draw(const Draw& draw) override { return f_(draw(copies())).mean(); }

  Tensor by_values(const Estimator& e) override {
    ExpectationOptions options;
    options.baseline = baseline_;
    options.key = noise_.take(expectation_offsets_used(e, options));
    return expectation(f_, copies(), e, options);
  }

  bool enumerable() const override { return true; }
  /// The expectation separates over the variables.
  Tensor enumerated() override { return (at::softmax(logits_, -1) * values_).sum(-1).mean(); }

  int64_t rows() const override { return batch_ * logits_.size(0); }
  int64_t categories() const override { return logits_.size(1); }

 private:
  Tensor copies() const { return logits_.expand({batch_, logits_.size(0), logits_.size(1)}); }

  int64_t batch_;
  Function f_;
  Tensor values_, logits_, baseline_ = at::zeros({});
};

}  // namespace

std::unique_ptr<Workload> polynomial(int64_t K, int64_t L, int64_t batch, uint64_t seed) {
  return std::make_unique<Polynomial>(K, L, batch, seed);
}

}  // namespace gradthru::experiments::cost
