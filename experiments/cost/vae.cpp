#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>

#include "experiments/cost/workloads.h"
#include "experiments/parameters.h"
#include "experiments/vae/exact_bound.h"
#include "gradthru/expectation.h"
#include "train/streams.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;

VaeModel model_of(const VaeShape& shape, uint64_t seed) {
  begin_init_stream(seed);
  return VaeModel(shape);
}

Tensor cross_entropy(const Tensor& pixels, const Tensor& images, at::Reduction::Reduction how) {
  return at::binary_cross_entropy_with_logits(pixels, images, {}, {}, how);
}

class Vae : public CategoricalWorkload {
 public:
  Vae(const VaeShape& shape, int64_t batch, uint64_t seed) : model_(model_of(shape, seed)) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(train::stream_seed(seed, "images"));
    images_ = at::rand({batch, shape.pixels}, generator);
    optimise("adam", tensors_of(model_.named_parameters()));
    noise_ = train::stream_key(seed, "noise");
    if (enumerable()) codes_ = all_codes(shape.K, shape.L).to(at::kFloat);
  }

  int64_t examples() const override { return images_.size(0); }

 protected:
  Tensor by_draw(const Draw& draw) override {
    const Tensor logits = model_.encode(images_);
    const Tensor pixels = model_.decode(draw(logits));
    return cross_entropy(pixels, images_, at::Reduction::Sum) / batch() + kl(logits);
  }

  Tensor by_values(const Estimator& e) override {
    const Tensor logits = model_.encode(images_);
    const Function f = [this](const Tensor& z) {
      const Tensor pixels = model_.decode(z.flatten(0, 1)).view({z.size(0), z.size(1), -1});
      return cross_entropy(pixels, images_.expand_as(pixels), at::Reduction::None).sum(-1);
    };
    ExpectationOptions options;
    options.baseline = baseline_;
    options.key = noise_.take(expectation_offsets_used(e, options));
    return expectation(f, logits, e, options) + kl(logits);
  }

  bool enumerable() const override { return model_.shape().codes(kEnumerationLimit) > 0; }

  /// With soft targets the cross-entropy of a code and an image is softplus(a) summed over pixels,
  /// less a.x: a matrix product over all pairs.
  Tensor enumerated() override {
    const Tensor logits = model_.encode(images_), pixels = model_.decode(codes_);
    const Tensor values = at::softplus(pixels).sum(-1, true) - pixels.matmul(images_.t());
    const Tensor log_q = at::log_softmax(logits, -1).flatten(1);
    const Tensor q = codes_.flatten(1).matmul(log_q.t()).exp();
    return (q * values).sum() / batch() + kl(logits);
  }

  int64_t rows() const override { return images_.size(0) * model_.shape().L; }
  int64_t categories() const override { return model_.shape().K; }

 private:
  double batch() const { return static_cast<double>(images_.size(0)); }

  Tensor kl(const Tensor& logits) const {
    const Tensor log_q = at::log_softmax(logits, -1);
    const double log_K = std::log(static_cast<double>(model_.shape().K));
    return (log_q.exp() * (log_q + log_K)).sum() / batch();
  }

  VaeModel model_;
  Tensor images_, codes_, baseline_ = at::zeros({});
};

}  // namespace

std::unique_ptr<Workload> vae_step(const VaeShape& shape, int64_t batch, uint64_t seed) {
  return std::make_unique<Vae>(shape, batch, seed);
}

}  // namespace gradthru::experiments::cost
