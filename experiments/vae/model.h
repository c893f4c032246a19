#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "experiments/parameters.h"
#include "gradthru/categorical.h"
#include "train/checkpoint.h"

namespace gradthru::experiments {

/// The sizes of a categorical VAE: K categories x L latent variables, written `8x4`.
struct VaeShape {
  int64_t K = 0, L = 0;
  int64_t pixels = 784;
  std::vector<int64_t> hidden = {512, 256};  ///< of the encoder; the decoder mirrors it
  bool relu_logits = false;                  ///< the network of the GST experiments

  /// Number of codes K^L, or -1 where it exceeds the limit.
  int64_t codes(int64_t limit) const;
};

/// Per-example averages over a batch, each a scalar tensor. Units: nats.
struct VaeLoss {
  at::Tensor recon;     ///< binary cross-entropy with soft targets, summed over pixels
  at::Tensor kl;        ///< KL(q || uniform), summed over latents
  at::Tensor max_prob;  ///< mean largest q, detached

  at::Tensor nelbo() const { return recon + kl; }
};

/// Encoder pixels-512-256-(L K), decoder (L K)-256-512-pixels, ReLU between the layers.
class VaeModel {
 public:
  /// PyTorch's default initialisation of a linear layer, from the default generator.
  explicit VaeModel(const VaeShape& shape);

  at::Tensor encode(const at::Tensor& images) const;   ///< [B, pixels] to logits [B, L, K]
  at::Tensor decode(const at::Tensor& onehots) const;  ///< [B, L, K] to pixel logits [B, pixels]
  /// `kl_tau`: q of the KL is softmax(logits / kl_tau), whatever is sampled.
  VaeLoss loss(const at::Tensor& images, const Estimator& estimator, const Key& key,
               double kl_tau = 1) const;

  const VaeShape& shape() const { return shape_; }

  /// The gradient of the cross-entropy of every image, summed over pixels, with respect to the
  /// one-hots of every code: onehots [m, L, K] and images [B, pixels] to [m, B, L, K], much cheaper
  /// than the backward of decode() for each pair.
  at::Tensor slopes(const at::Tensor& onehots, const at::Tensor& images) const;

  /// Takes `model.<name>` of a checkpoint for every parameter.
  /// Errors: InvalidInput for a missing one or one of another shape.
  void restore(const train::Checkpoint& checkpoint);

  /// The same weights in memory of their own, in another dtype; they need no gradient.
  VaeModel copy(at::ScalarType dtype) const;

  /// First those of the encoder, `encoder.0.weight`, then as many of the decoder.
  const NamedTensors& named_parameters() const { return parameters_; }

 private:
  /// Through the layers from parameter number `first` on; `hidden` gets what each ReLU gives.
  at::Tensor run(const at::Tensor& input, size_t first,
                 std::vector<at::Tensor>* hidden = nullptr) const;

  VaeShape shape_;
  NamedTensors parameters_;
};

}  // namespace gradthru::experiments
