#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "experiments/vae/model.h"

namespace gradthru::experiments {

/// Codes up to which the bound is enumerated.
inline constexpr int64_t kEnumerationLimit = 16384;

/// Averages over images, by decoding every one of the K^L codes. Units: nats.
struct ExactBound {
  double nelbo = 0;  ///< the expectation of the sampled negative ELBO
  double nll = 0;    ///< -log of the mean over all codes of p(x | code): the exact -log p(x)
};

/// Errors: std::logic_error where K^L exceeds kEnumerationLimit.
ExactBound exact_bound(const VaeModel& model, const at::Tensor& images);

/// All K^L codes as one-hots [K^L, L, K], the first latent slowest.
at::Tensor all_codes(int64_t K, int64_t L);

}  // namespace gradthru::experiments
