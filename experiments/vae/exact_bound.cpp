#include "experiments/vae/exact_bound.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "gradthru/expectation.h"

namespace gradthru::experiments {

at::Tensor all_codes(int64_t K, int64_t L) {
  int64_t count = 1;
  for (int64_t l = 0; l < L; ++l) count *= K;
  return at::one_hot(states(K, L, 0, count), K).to(at::kFloat);
}

ExactBound exact_bound(const VaeModel& model, const at::Tensor& images) {
  const VaeShape& shape = model.shape();
  const int64_t count = shape.codes(kEnumerationLimit);
  if (count < 0) throw std::logic_error("exact_bound: too many codes to enumerate");
  const at::NoGradGuard no_grad;
  const double log_K = std::log(static_cast<double>(shape.K));
  const at::Tensor codes = all_codes(shape.K, shape.L);
  const at::Tensor pixels = model.decode(codes);  // [codes, pixels]
  const at::Tensor normaliser = at::softplus(pixels).sum(1);
  const at::Tensor flat_codes = codes.view({count, -1}).t();
  const int64_t N = images.size(0);
  const int64_t block = std::max<int64_t>(1, (int64_t{1} << 22) / count);
  double nelbo = 0, nll = 0;
  for (int64_t start = 0; start < N; start += block) {
    const at::Tensor x = images.narrow(0, start, std::min(block, N - start));
    const at::Tensor recon = normaliser.unsqueeze(0) - at::matmul(x, pixels.t());  // [B, codes]
    const at::Tensor log_q = at::log_softmax(model.encode(x), -1);
    const at::Tensor q = at::matmul(log_q.view({x.size(0), -1}), flat_codes).exp();
    const at::Tensor kl = (log_q.exp() * (log_q + log_K)).sum();
    nelbo += (q * recon).sum().item<double>() + kl.item<double>();
    const double log_codes = static_cast<double>(shape.L) * log_K;
    nll -= (at::logsumexp(-recon, 1) - log_codes).sum().item<double>();
  }
  return {nelbo / static_cast<double>(N), nll / static_cast<double>(N)};
}

}  // namespace gradthru::experiments
