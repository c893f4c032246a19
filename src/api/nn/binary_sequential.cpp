#include "gradthru/nn/binary_sequential.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <utility>

#include "api/nn/objective.h"
#include "api/nn/passage.h"

namespace gradthru::nn {
namespace {

using at::Tensor;
using Layers = StochasticBinarySequentialImpl::Layers;

uint64_t samples_of(const Estimator& e, size_t layers) {
  if (e.method == Method::rloo) return static_cast<uint64_t>(e.samples);
  if (e.method == Method::arm) return 2 * layers - 1;
  return 1;
}

}  // namespace

StochasticBinarySequentialImpl::StochasticBinarySequentialImpl(Layers layers, int64_t outputs,
                                                               NetworkLoss loss,
                                                               std::optional<int64_t> units)
    : layers_(std::move(layers)), loss_(loss) {
  if (layers_.empty()) fail("wants at least one layer, got none");
  if (!units && !is_linear(*layers_.back())) {
    fail("the units of the last layer must be given where it is a convolution");
  }
  for (size_t l = 0; l < layers_.size(); ++l) {
    if (layers_[l]->coding() != coding()) fail("all layers must have one coding");
    register_module("layer" + std::to_string(l), layers_[l]);
  }
  const int64_t n = units ? *units : layers_.back()->weight.size(0);
  if (outputs < 1 || n < 1) {
    fail("outputs and units must be >= 1, got " + std::to_string(outputs) + " and " +
         std::to_string(n));
  }
  const double bound = 1 / std::sqrt(static_cast<double>(n));
  weight = register_parameter("weight", at::empty({outputs, n}).uniform_(-bound, bound));
  bias = register_parameter("bias", at::empty({outputs}).uniform_(-bound, bound));
}

Tensor StochasticBinarySequentialImpl::loss(const Tensor& x, const Tensor& target,
                                            const Estimator& estimator,
                                            const NetworkOptions& options) const {
  if (!estimator.is_constant()) {
    fail(to_string(estimator) + ": a scheduled temperature has no value yet; use e.at(progress)");
  }
  if (about(estimator.method).family == Family::score && traits(estimator).sampling_tau != 1) {
    fail(to_string(estimator) + ": the units of a network are drawn at tau_f = 1");
  }
  return objective(*this, x, target, estimator, options);
}

uint64_t StochasticBinarySequentialImpl::offsets_used(const Estimator& e) const {
  const uint64_t head = e.method == Method::local_reparam ? 1 : 0;
  return layer_offsets_used(e) * layers_.size() * samples_of(e, layers_.size()) + head;
}

std::vector<LayerSample> StochasticBinarySequentialImpl::sample(
    const Tensor& x, const NetworkOptions& options) const {
  const at::NoGradGuard no_grad;
  const Estimator e = st();
  const Stream stream{key_of(options), 1, options.batch0};
  return Passage{layers_, stream, options, e}.run(x);
}

NetworkEvaluation StochasticBinarySequentialImpl::evaluate(const Tensor& x, const Tensor& target,
                                                           int64_t n,
                                                           const NetworkOptions& options) const {
  const at::NoGradGuard no_grad;
  if (n < 1) fail("evaluate: wants n >= 1 samples, got " + std::to_string(n));
  const Estimator e = st();
  const Stream stream{key_of(options), 1, options.batch0};
  const Passage pass{layers_, stream, options, e};
  const bool classes = loss_ != NetworkLoss::squared;
  const double none = std::numeric_limits<double>::quiet_NaN();
  NetworkEvaluation result;
  result.examples = x.size(0);
  result.entropy.resize(layers_.size());
  if (!classes) result.acc1 = none;
  Tensor prediction;
  const auto accuracy = [&](const Tensor& p) {
    const Tensor right = loss_ == NetworkLoss::logistic ? (p.squeeze(-1) > 0.5) == (target > 0)
                                                        : p.argmax(-1) == target;
    return right.to(at::kDouble).mean().item<double>();
  };
  for (int64_t s = 0; s < n; ++s) {
    const auto all = pass.run(x, static_cast<uint64_t>(s));
    const double share = 1 / static_cast<double>(n);
    for (size_t l = 0; l < all.size(); ++l) {
      const Tensor& a = all[l].preactivation;
      const Tensor p = at::sigmoid(a);
      const Tensor nats = -(p * at::log_sigmoid(a) + (1 - p) * at::log_sigmoid(-a));
      result.entropy[l] += share * nats.mean().item<double>() / std::numbers::ln2;
      if (s == 0) result.units.push_back(a.numel() / std::max<int64_t>(1, a.size(0)));
    }
    const HeadInput top = head_input(all.back());
    const Tensor eta = at::linear(top.x, weight, bias);
    const Tensor value =
        options.one_flip_average
            ? head_loss(top, weight, bias, target, {loss_, coding(), HeadSignal::derivative, true})
            : loss_of(loss_, eta, target);
    result.loss += share * value.mean().item<double>();
    if (!classes) continue;
    const Tensor p = loss_ == NetworkLoss::logistic ? eta.sigmoid() : eta.softmax(-1);
    prediction = prediction.defined() ? prediction + p : p;
    result.acc1 += share * accuracy(p);
    result.acc_ens.push_back(accuracy(prediction / static_cast<double>(s + 1)));
  }
  return result;
}

void NetworkEvaluation::add(const NetworkEvaluation& part) {
  if (examples == 0) {
    *this = part;
    return;
  }
  const double all = static_cast<double>(examples + part.examples);
  const double share = static_cast<double>(part.examples) / all;
  const auto mix = [share](double& mine, double other) { mine += share * (other - mine); };
  mix(loss, part.loss);
  mix(acc1, part.acc1);
  for (size_t i = 0; i < acc_ens.size(); ++i) mix(acc_ens[i], part.acc_ens.at(i));
  for (size_t l = 0; l < entropy.size(); ++l) mix(entropy[l], part.entropy.at(l));
  examples += part.examples;
}

double NetworkEvaluation::mean_entropy() const {
  double sum = 0, count = 0;
  for (size_t l = 0; l < entropy.size(); ++l) {
    sum += entropy[l] * static_cast<double>(units[l]);
    count += static_cast<double>(units[l]);
  }
  return sum / count;
}

void StochasticBinarySequentialImpl::normalise(const Tensor& x, Propagation rule) {
  if (rule == Propagation::local_reparam) fail("normalise: local_reparam has no fixed moments");
  const at::NoGradGuard no_grad;
  LayerMoments m{x, {}};
  for (const auto& layer : layers_) {
    m.mean = as_input_of(*layer, m.mean);
    if (m.variance.defined()) m.variance = as_input_of(*layer, m.variance);
    const Tensor a = layer->preactivation(m.mean);
    std::vector<int64_t> axes = {0};
    for (int64_t axis = 2; axis < a.dim(); ++axis) axes.push_back(axis);
    const Tensor mean = a.mean(axes);
    Tensor variance = a.var(axes, false);
    if (m.variance.defined()) variance = variance + layer->spread(m.variance).mean(axes);
    // A unit that does not depend on the data keeps its scale.
    const Tensor sd = at::where(variance > 0, variance.sqrt(), 1.0);
    std::vector<int64_t> rows(static_cast<size_t>(layer->weight.dim()), 1);
    rows[0] = -1;
    layer->weight.div_(sd.reshape(rows));
    layer->bias.sub_(mean).div_(sd);
    m = layer->moments(m, rule);
  }
}

}  // namespace gradthru::nn
