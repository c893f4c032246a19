#include "bench/eager.h"

#include <ATen/ATen.h>

namespace gradthru::bench {
namespace {

using at::Tensor;

Tensor at_temperature(const Tensor& logits, double tau) {
  return tau == 1 ? logits : logits / tau;
}

Tensor softmax(const Tensor& logits, double tau = 1) {
  return at_temperature(logits, tau).softmax(-1);
}

Tensor one_hot(const Tensor& index, const Tensor& like) {
  return at::zeros_like(like).scatter_(-1, index, 1.0);
}

Tensor straight_through(const Tensor& value, const Tensor& soft) {
  return value - soft.detach() + soft;
}

Tensor exponentials(const Tensor& like) {
  return at::empty_like(like, at::MemoryFormat::Contiguous).exponential_();
}

Tensor by_multinomial(const Tensor& logits) {
  return softmax(logits).multinomial(1);
}

Tensor by_gumbel_argmax(const Tensor& logits) {
  return (logits - exponentials(logits).log()).argmax(-1, /*keepdim=*/true);
}

Tensor st(const Tensor& logits, const Tensor& index, double tau) {
  const Tensor soft = softmax(logits, tau);
  return straight_through(one_hot(index, soft), soft);
}

Tensor reinmax(const Tensor& logits, const Tensor& index, double tau) {
  const Tensor p = softmax(logits);
  const Tensor onehot = one_hot(index, p);
  const Tensor middle = (onehot + softmax(logits.detach(), tau)) / 2;
  const Tensor shifted = ((middle.log() - logits).detach() + logits).softmax(-1);
  return straight_through(onehot, 2 * shifted - 0.5 * p);
}

Tensor gst(const Tensor& logits, const Tensor& index, double tau, double gap) {
  const Tensor theta = logits.detach();
  const Tensor onehot = one_hot(index, theta);
  const Tensor top = theta.amax(-1, /*keepdim=*/true);
  const Tensor target = at::where(onehot.to(at::kBool), top, at::minimum(theta, top - gap));
  return straight_through(onehot, softmax(logits + (target - theta), tau));
}

Tensor gumbel_rao(const Tensor& logits, const Tensor& index, double tau, int64_t draws) {
  const Tensor theta = logits.detach();
  const Tensor onehot = one_hot(index, theta);
  const Tensor noise = theta.new_empty({draws, theta.size(0), theta.size(1)}).exponential_();
  const Tensor total = theta.logsumexp(-1, /*keepdim=*/true);
  const Tensor winner = noise.gather(-1, index.expand({draws, theta.size(0), 1}));
  const Tensor others = -(noise / theta.exp() + winner / total.exp()).log();
  const Tensor perturbed = at::where(onehot.to(at::kBool), total - winner.log(), others);
  return straight_through(onehot, softmax(logits + (perturbed - theta), tau).mean(0));
}

/// The texts above are those of the published, single-temperature forms.
bool is_published_form(const Estimator& e) {
  return e.is_constant() && e.tau_f.start == 1 && e.noise == Noise::scaled_sum && e.gap >= 0 &&
         e.consistent && e.detach && e.hard;
}

}  // namespace

Tensor gumbel_softmax_hard(const Tensor& logits, double tau) {
  const Tensor gumbels = -exponentials(logits).log();
  const Tensor soft = ((logits + gumbels) / tau).softmax(-1);
  const Tensor index = std::get<1>(soft.max(-1, /*keepdim=*/true));
  return straight_through(one_hot(index, logits), soft);
}

std::function<Tensor(const Tensor&, const Tensor&)> eager_given(const Estimator& e) {
  if (!is_published_form(e)) return {};
  const double tau = e.tau_b.start;
  switch (e.method) {
    case Method::st:
      return [tau](const Tensor& logits, const Tensor& index) { return st(logits, index, tau); };
    case Method::reinmax:
      return
          [tau](const Tensor& logits, const Tensor& index) { return reinmax(logits, index, tau); };
    case Method::gst:
      return [tau, gap = e.gap](const Tensor& logits, const Tensor& index) {
        return gst(logits, index, tau, gap);
      };
    default:
      return {};
  }
}

std::vector<Sampler> eager_ways(const Estimator& e) {
  if (!is_published_form(e)) return {};
  const double tau = e.tau_b.start;
  if (e.method == Method::gumbel_softmax) {
    return {[tau](const Tensor& logits) { return gumbel_softmax_hard(logits, tau); }};
  }
  auto given = eager_given(e);
  if (e.method == Method::gumbel_rao) {
    given = [tau, draws = e.samples](const Tensor& logits, const Tensor& index) {
      return gumbel_rao(logits, index, tau, draws);
    };
  }
  if (!given) return {};
  std::vector<Sampler> ways;
  for (const auto draw : {by_multinomial, by_gumbel_argmax}) {
    ways.push_back(
        [given, draw](const Tensor& logits) { return given(logits, draw(logits.detach())); });
  }
  return ways;
}

int64_t eager_numbers_per_logit(const Estimator& e) {
  return e.method == Method::gumbel_rao ? e.samples : 1;
}

}  // namespace gradthru::bench
