#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <torch/nn/utils/clip_grad.h>

#include "data/listops_expression.h"
#include "experiments/cost/workloads.h"
#include "experiments/listops/model.h"
#include "experiments/parameters.h"
#include "gradthru/error.h"
#include "train/streams.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;

constexpr double kClip = 5, kDropout = 0.5;

listops::Model model_of(int64_t width, uint64_t seed) {
  begin_init_stream(seed);
  return listops::Model({.width = width, .dropout = kDropout});
}

listops::Batch batch_of(int64_t rows, int64_t tokens, at::Generator generator) {
  listops::Layout layout(std::vector<int64_t>(static_cast<size_t>(rows), tokens));
  const int64_t all = layout.tokens();
  return {std::move(layout), at::randint(data::kListOpsVocabulary, {all}, generator, at::kLong),
          at::randint(10, {rows}, generator, at::kLong)};
}

class ListOps : public CategoricalWorkload {
 public:
  ListOps(int64_t width, int64_t batch, int64_t tokens, uint64_t seed)
      : generator_(at::make_generator<at::CPUGeneratorImpl>(train::stream_seed(seed, "dropout"))),
        batch_(batch_of(batch, tokens, generator_)),
        model_(model_of(width, seed)) {
    optimise("adam", tensors_of(model_.named_parameters()));
    noise_ = train::stream_key(seed, "noise");
  }

  int64_t examples() const override { return batch_.layout.rows(); }

  void update() override {
    torch::nn::utils::clip_grad_norm_(parameters_, kClip);
    Workload::update();
  }

 protected:
  Tensor by_library(const Estimator& e) override {
    if (about(e.method).family == Family::score) return by_values(e);
    listops::Choice choice{.estimator = e};
    choice.key = noise_.take(offsets_used(choice, batch_.layout));
    return loss(choice);
  }

  Tensor by_draw(const Draw& draw) override {
    listops::Choice choice;
    choice.draw = [&draw](const Tensor& scores, const Tensor& mask) {
      return draw(scores.masked_fill(mask.logical_not(), -INFINITY));
    };
    return loss(choice);
  }

  Tensor by_values(const Estimator& e) override {
    throw InvalidInput(
        "cost: workload=listops wants an estimator that takes the gradient at the "
        "sample, such as gst(1.0), got '" +
        to_string(e) + "'");
  }

  int64_t rows() const override { return batch_.layout.rows(); }
  int64_t categories() const override { return batch_.layout.longest(); }

 private:
  Tensor loss(const listops::Choice& choice) {
    return at::cross_entropy_loss(model_.forward(batch_, choice, generator_).scores, batch_.labels);
  }

  at::Generator generator_;
  listops::Batch batch_;
  listops::Model model_;
};

}  // namespace

std::unique_ptr<Workload> listops_step(int64_t width, int64_t batch, int64_t tokens,
                                       uint64_t seed) {
  return std::make_unique<ListOps>(width, batch, tokens, seed);
}

}  // namespace gradthru::experiments::cost
