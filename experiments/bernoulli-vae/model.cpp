#include "experiments/bernoulli-vae/model.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <string>

#include "gradthru/bernoulli.h"
#include "gradthru/expectation.h"

namespace gradthru::experiments::bernoulli {
namespace {

using at::Tensor;

constexpr double kSlope = 0.3;

/// log of the probabilities of z = 1 and z = 0, [.., 2].
Tensor log_masses(const Tensor& logits) {
  return at::stack({at::log_sigmoid(logits), at::log_sigmoid(-logits)}, -1);
}

}  // namespace

Model::Model(const Shape& shape) : shape_(shape) {
  std::vector<int64_t> widths = {shape.pixels};
  widths.insert(widths.end(), shape.hidden.begin(), shape.hidden.end());
  widths.push_back(shape.latents);
  add_linear_layers(parameters_, "encoder", widths);
  std::reverse(widths.begin(), widths.end());
  add_linear_layers(parameters_, "decoder", widths);
  parameters_.emplace_back("prior.logits", at::zeros({shape.latents}).requires_grad_());
}

std::vector<Tensor> Model::encoder() const {
  std::vector<Tensor> tensors = tensors_of(parameters_);
  tensors.resize((parameters_.size() - 1) / 2);
  return tensors;
}

Tensor Model::run(const Tensor& input, size_t first) const {
  Tensor h = input;
  const size_t layers = shape_.hidden.size() + 1;
  for (size_t i = 0; i < layers; ++i) {
    h = at::linear(h, parameters_[first + 2 * i].second, parameters_[first + 2 * i + 1].second);
    if (i + 1 < layers) h = at::leaky_relu(h, kSlope);
  }
  return h;
}

Tensor Model::encode(const Tensor& images) const {
  const Tensor a = run(images, 0);
  return shape_.variant == Variant::released ? 2 * a - 1 : a;
}

Tensor Model::decode(const Tensor& z) const {
  return run(z, (parameters_.size() - 1) / 2);
}

Tensor Model::recon(const Tensor& z, const Tensor& images) const {
  const Tensor pixels = decode(z);
  return at::softplus(pixels).sum(-1) - (pixels * images).sum(-1);
}

Tensor Model::log_prior() const {
  const Tensor& logits = parameters_.back().second;
  if (shape_.variant == Variant::fixed) return log_masses(logits);
  // The masses of z = 1 of all latents, then those of z = 0, met by pairs of q one after the other.
  return at::cat({at::log_sigmoid(logits), at::log_sigmoid(-logits)}).view({-1, 2});
}

Tensor Model::kl(const Tensor& logits) const {
  const Tensor log_q = log_masses(logits);
  return (log_q.exp() * (log_q - log_prior())).sum({-2, -1});
}

Loss Model::loss(const Tensor& images, const Estimator& estimator, const Sampling& how) const {
  const Tensor logits = encode(images);
  const Evaluation half(logits, estimator, Coding::zero_one,
                        {.samples = how.samples, .baseline = how.baseline, .key = how.key});
  return {half.combine(recon(half.points(), images)).mean(), kl(logits).mean()};
}

LogWeights Model::log_weights(const Tensor& images, int64_t row0) const {
  const Tensor logits = encode(images), log_q = log_masses(logits), log_p = log_prior();
  // log p(z) - log q(z | x), at z = 0 and what z = 1 adds.
  const Tensor ratio = log_p - log_q;  // [B, L, 2]
  const Tensor off = ratio.select(-1, 1), more = ratio.select(-1, 0) - off;
  return [=, this, off = off.sum(-1)](int64_t count, const Key& key) {
    Key placed = key;
    placed.row0 = row0;
    const Tensor z = sample_binary(logits, st(), {.samples = count, .key = placed});
    return (z * more).sum(-1) + off - recon(z, images);
  };
}

}  // namespace gradthru::experiments::bernoulli
