#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "experiments/importance_bound.h"
#include "experiments/parameters.h"
#include "gradthru/estimator.h"
#include "gradthru/key.h"

namespace gradthru::experiments::bernoulli {

/// What the released code of the experiment does otherwise: its encoder gives the pair of logits
/// (a, 1 - a), probability sigmoid(2a - 1), and the entries of q meet those of another latent's
/// prior. Ours: (a, 0), probability sigmoid(a), each latent with its own prior.
enum class Variant { fixed, released };

struct Shape {
  int64_t latents = 200;
  int64_t pixels = 784;
  std::vector<int64_t> hidden = {200, 200};  ///< of the encoder; the decoder mirrors it
  Variant variant = Variant::fixed;
};

/// Averages over a batch, each a scalar tensor. Units: nats.
struct Loss {
  at::Tensor recon;  ///< binary cross-entropy summed over pixels, over all samples
  at::Tensor kl;     ///< KL(q || prior), analytic, summed over latents

  at::Tensor nelbo() const { return recon + kl; }
};

/// How a loss is estimated.
struct Sampling {
  int64_t samples = 1;                   ///< independent estimates that are averaged
  std::optional<at::Tensor> baseline{};  ///< the state of a moving baseline
  Key key{};
};

/// A VAE with binary latents and a learned factorial prior. Encoder pixels-200-200-latents, decoder
/// latents-200-200-pixels, LeakyReLU of slope 0.3 between the layers.
class Model {
 public:
  /// PyTorch's default initialisation of a linear layer, from the default generator; the prior's
  /// logits are 0.
  explicit Model(const Shape& shape);

  at::Tensor encode(const at::Tensor& images) const;  ///< [B, pixels] to logits of z = 1 [B, L]
  at::Tensor decode(const at::Tensor& z) const;       ///< [.., L] to pixel logits [.., pixels]
  at::Tensor recon(const at::Tensor& z, const at::Tensor& images) const;  ///< [E, B, L] to [E, B]
  at::Tensor kl(const at::Tensor& logits) const;                          ///< [B]

  /// A loss whose backward is the estimator's gradient: f is the reconstruction.
  Loss loss(const at::Tensor& images, const Estimator& estimator, const Sampling& how) const;

  /// The weights of samples for images whose rows in the key begin at row0.
  LogWeights log_weights(const at::Tensor& images, int64_t row0) const;

  const Shape& shape() const { return shape_; }
  /// First those of the encoder, `encoder.0.weight`, then as many of the decoder, then
  /// `prior.logits`.
  const NamedTensors& named_parameters() const { return parameters_; }
  std::vector<at::Tensor> encoder() const;

 private:
  at::Tensor run(const at::Tensor& input, size_t first) const;
  /// log of the prior's masses that q's meet, [L, 2]: of z = 1 and of z = 0.
  at::Tensor log_prior() const;

  Shape shape_;
  NamedTensors parameters_;
};

}  // namespace gradthru::experiments::bernoulli
