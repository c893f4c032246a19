#include "experiments/vae/model.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace gradthru::experiments {

int64_t VaeShape::codes(int64_t limit) const {
  int64_t count = 1;
  for (int64_t l = 0; l < L; ++l) {
    if (count > limit / K) return -1;
    count *= K;
  }
  return count;
}

VaeModel::VaeModel(const VaeShape& shape) : shape_(shape) {
  std::vector<int64_t> widths = {shape.pixels};
  widths.insert(widths.end(), shape.hidden.begin(), shape.hidden.end());
  widths.push_back(shape.K * shape.L);
  add_linear_layers(parameters_, "encoder", widths);
  std::reverse(widths.begin(), widths.end());
  add_linear_layers(parameters_, "decoder", widths);
}

at::Tensor VaeModel::run(const at::Tensor& input, size_t first,
                         std::vector<at::Tensor>* hidden) const {
  at::Tensor h = input;
  const size_t layers = shape_.hidden.size() + 1;
  for (size_t i = 0; i < layers; ++i) {
    h = at::linear(h, parameters_[first + 2 * i].second, parameters_[first + 2 * i + 1].second);
    if (i + 1 == layers) break;
    h = h.relu_();
    if (hidden != nullptr) hidden->push_back(h);
  }
  return h;
}

at::Tensor VaeModel::encode(const at::Tensor& images) const {
  at::Tensor logits = run(images, 0);
  if (shape_.relu_logits) logits = logits.relu();
  return logits.view({images.size(0), shape_.L, shape_.K});
}

at::Tensor VaeModel::decode(const at::Tensor& onehots) const {
  return run(onehots.reshape({onehots.size(0), -1}), parameters_.size() / 2);
}

at::Tensor VaeModel::slopes(const at::Tensor& onehots, const at::Tensor& images) const {
  const at::NoGradGuard no_grad;
  const size_t first = parameters_.size() / 2, layers = shape_.hidden.size() + 1;
  std::vector<at::Tensor> hidden;
  const at::Tensor pixels = run(onehots.reshape({onehots.size(0), -1}), first, &hidden);
  // At the pixels the gradient is sigmoid(a) - x: a part of the code and a part of the image, which
  // stay apart up to the last ReLU.
  const at::Tensor last = parameters_[first + 2 * (layers - 1)].second;
  at::Tensor g = pixels.sigmoid().matmul(last).unsqueeze(1) - images.matmul(last).unsqueeze(0);
  for (size_t i = layers - 1; i-- > 0;) {
    g.mul_(hidden[i].gt(0).unsqueeze(1));
    g = g.matmul(parameters_[first + 2 * i].second);
  }
  return g.view({onehots.size(0), images.size(0), shape_.L, shape_.K});
}

void VaeModel::restore(const train::Checkpoint& checkpoint) {
  experiments::restore(parameters_, checkpoint);
}

VaeModel VaeModel::copy(at::ScalarType dtype) const {
  const at::NoGradGuard no_grad;
  VaeModel other = *this;
  for (auto& [name, tensor] : other.parameters_) {
    tensor = tensor.to(dtype, /*non_blocking=*/false, /*copy=*/true);
  }
  return other;
}

VaeLoss VaeModel::loss(const at::Tensor& images, const Estimator& estimator, const Key& key,
                       double kl_tau) const {
  const auto B = static_cast<double>(images.size(0));
  const at::Tensor logits = encode(images);
  const at::Tensor pixels = decode(sample(logits, estimator, {.key = key}).onehot);
  const at::Tensor log_q = at::log_softmax(kl_tau == 1 ? logits : logits / kl_tau, -1);
  const at::Tensor q = log_q.exp();
  VaeLoss loss;
  loss.recon = at::binary_cross_entropy_with_logits(pixels, images, {}, {}, at::Reduction::Sum) / B;
  const double log_K = std::log(static_cast<double>(shape_.K));
  loss.kl = (q * (log_q + log_K)).sum() / B;
  loss.max_prob = q.detach().amax(-1).mean();
  return loss;
}

}  // namespace gradthru::experiments
