#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include "experiments/cost/workloads.h"
#include "gradthru/error.h"
#include "train/streams.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;

class Kernel : public CategoricalWorkload {
 public:
  Kernel(int64_t rows, int64_t K, uint64_t seed) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(train::stream_seed(seed, "init"));
    logits_ = at::randn({rows, K}, generator).requires_grad_();
    grad_ = at::randn({rows, K}, generator);
    parameters_ = {logits_};
    noise_ = train::stream_key(seed, "noise");
  }

  int64_t examples() const override { return rows(); }
  void backward(const Tensor& root) override { root.backward(grad_); }
  void put_inside_model(bool inside) override { inside_ = inside; }

 protected:
  /// A copy remembers nothing: what stays of it is what the estimator keeps.
  Tensor by_draw(const Draw& draw) override { return draw(inside_ ? logits_.clone() : logits_); }

  Tensor by_values(const Estimator& e) override {
    throw InvalidInput("cost: " + to_string(e) +
                       " takes values of a function, which workload=kernel does not have; wanted "
                       "an estimator such as reinmax, or workload=poly");
  }

  int64_t rows() const override { return logits_.size(0); }
  int64_t categories() const override { return logits_.size(1); }

 private:
  Tensor logits_, grad_;
  bool inside_ = false;
};

}  // namespace

std::unique_ptr<Workload> kernel(int64_t rows, int64_t K, uint64_t seed) {
  return std::make_unique<Kernel>(rows, K, seed);
}

}  // namespace gradthru::experiments::cost
