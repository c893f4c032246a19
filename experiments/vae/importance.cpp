#include "experiments/vae/importance.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>

namespace gradthru::experiments {

LogWeights log_weights(const VaeModel& model, const at::Tensor& images, int64_t first) {
  const VaeShape& shape = model.shape();
  const at::Tensor logits = model.encode(images), log_q = at::log_softmax(logits, -1);
  const double log_prior = -static_cast<double>(shape.L) * std::log(static_cast<double>(shape.K));
  return [=, &model, row0 = first * shape.L](int64_t count, const Key& key) {
    Key placed = key;
    placed.row0 = row0;
    const at::Tensor z = sample(logits, st(), {.samples = count, .key = placed}).onehot;
    const at::Tensor pixels = model.decode(z.flatten(0, 1)).view({count, images.size(0), -1});
    const at::Tensor recon = at::softplus(pixels).sum(-1) - (pixels * images).sum(-1);
    return log_prior - recon - (z * log_q).sum({-2, -1});
  };
}

}  // namespace gradthru::experiments
