#include "gradthru/nn/binary_sequential.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <utility>

#include "api/nn/draws.h"
#include "gradthru/error.h"
#include "gradthru/expectation.h"
#include "gradthru/nn/binary_linear.h"

namespace gradthru::nn {
namespace {

using at::Tensor;
using Layers = StochasticBinarySequentialImpl::Layers;

[[noreturn]] void fail(const std::string& what) {
  throw InvalidInput("StochasticBinarySequential: " + what);
}

bool is_linear(const StochasticBinaryLayerImpl& layer) {
  return layer.weight.dim() == 2;
}

/// Units as the layer wants to see them: those of an example in one row for a linear layer.
Tensor as_input_of(const StochasticBinaryLayerImpl& layer, const Tensor& x) {
  return is_linear(layer) && x.dim() > 2 ? x.flatten(1) : x;
}

Key key_of(const NetworkOptions& options) {
  if (options.key && options.generator) fail("give a key or a generator, not both");
  return options.key ? *options.key : key_from(options.generator);
}

/// Where the draws of a network are in the random stream.
struct Stream {
  Key key;
  uint64_t each_layer;  ///< offsets
  int64_t batch0;

  /// For layer l of sample s, whose units of one example are `units`.
  Key at(size_t l, size_t layers, uint64_t s, int64_t units) const {
    Key result = key;
    result.offset += each_layer * (s * layers + l);
    result.row0 = batch0 * units;
    return result;
  }
};

/// One pass through the layers from number `first` on.
struct Passage {
  const Layers& layers;
  const Stream& stream;
  const NetworkOptions& options;
  const Estimator& estimator;

  /// How many units an example has in layer l: only known from the input where it is convolution.
  int64_t units_per_example(size_t l, const Tensor& below) const {
    const auto& layer = *layers[l];
    if (is_linear(layer)) return layer.weight.size(0);
    const at::NoGradGuard no_grad;
    const Tensor one = layer.preactivation(below.narrow(0, 0, 1).detach());
    return one.numel();
  }

  LayerSample layer(size_t l, const Tensor& below, uint64_t s, bool given) const {
    const Tensor input = as_input_of(*layers[l], below);
    LayerOptions o{.input = l == 0 ? LayerInput::real : LayerInput::units};
    if (given && options.given) o.given = options.given->at(l);
    const int64_t units = stream.batch0 == 0 ? 0 : units_per_example(l, input);
    o.key = stream.at(l, layers.size(), s, units);
    return layers[l]->sample(input, estimator, o);
  }

  std::vector<LayerSample> run(const Tensor& x, uint64_t s = 0) const {
    std::vector<LayerSample> all;
    for (size_t l = 0; l < layers.size(); ++l) {
      all.push_back(layer(l, l == 0 ? x : all.back().x, s, true));
    }
    return all;
  }

  /// The units of the last layer from those of layer l, [B, n].
  Tensor tail(size_t l, Tensor units, uint64_t s) const {
    while (++l < layers.size()) units = layer(l, units, s, false).x;
    return units.flatten(1);
  }
};

HeadInput head_input(const LayerSample& top) {
  return {top.x.flatten(1), top.preactivation.flatten(1)};
}

/// log P of the units of all layers given those below, [B].
Tensor log_probability(const std::vector<LayerSample>& layers) {
  Tensor sum;
  for (const auto& [x, a] : layers) {
    const Tensor part = at::log_sigmoid(at::where(x > 0, a, -a)).flatten(1).sum(1);
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

/// Zero, whose gradient is that of `surrogate`.
Tensor gradient_of(const Tensor& surrogate) {
  return surrogate - surrogate.detach();
}

/// All states of a layer, [2^n, n].
Tensor all_states(const StochasticBinaryLayerImpl& layer) {
  const int64_t n = layer.weight.size(0);
  const Tensor on = 1 - states(2, n, 0, int64_t{1} << n).to(layer.weight.scalar_type());
  return layer.coding() == Coding::plus_minus_one ? 2 * on - 1 : on;
}

/// The probability of every state for rows of preactivations: [M, n] and [Q, n] to [M, Q].
Tensor law(const Tensor& a, const Tensor& all) {
  const Tensor on = (all > 0).to(a.scalar_type());
  return (at::log_sigmoid(a).matmul(on.t()) + at::log_sigmoid(-a).matmul((1 - on).t())).exp();
}

bool propagates_moments(Method method) {
  return method == Method::ap1 || method == Method::tanh || method == Method::ap2 ||
         method == Method::local_reparam;
}

Propagation propagation_of(Method method) {
  return method == Method::ap1    ? Propagation::ap1
         : method == Method::tanh ? Propagation::tanh
         : method == Method::ap2  ? Propagation::ap2
                                  : Propagation::local_reparam;
}

uint64_t samples_of(const Estimator& e, size_t layers) {
  if (e.method == Method::rloo) return static_cast<uint64_t>(e.samples);
  if (e.method == Method::arm) return 2 * layers - 1;
  return 1;
}

/// The objective of a network by each family of estimators, at one input: mean over the batch.
class Objective {
 public:
  Objective(const StochasticBinarySequentialImpl& net, const Tensor& x, const Tensor& target,
            const Estimator& e, const NetworkOptions& options)
      : net_(net),
        x_(x),
        target_(target),
        e_(e),
        options_(options),
        stream_{layer_offsets_used(e) == 0 ? Key{} : key_of(options), layer_offsets_used(e),
                options.batch0},
        pass_{net.layers(), stream_, options_, e_} {}

  Tensor value() const {
    if (propagates_moments(e_.method)) return moments();
    switch (e_.method) {
      case Method::exact:
        return exact();
      case Method::reinforce:
        return reinforce();
      case Method::rloo:
        return rloo();
      case Method::arm:
        return arm();
      case Method::disarm:
      case Method::indecater:
        fail(to_string(e_) +
             " has no form for networks; known: psa, hard_st, concrete, ap1, tanh, "
             "ap2, local_reparam, reinforce, rloo, arm, exact and every pathwise "
             "estimator");
      default:
        return sampled();
    }
  }

 private:
  size_t layers() const { return net_.layers().size(); }

  Tensor outputs(const Tensor& units) const { return at::linear(units, net_.weight, net_.bias); }

  Tensor head(const LayerSample& top, HeadSignal signal) const {
    return head_loss(head_input(top), net_.weight, net_.bias, target_,
                     {net_.loss_kind(), net_.coding(), signal, options_.one_flip_average});
  }

  /// The loss of one sample, [B]; no gradient.
  Tensor plain(const Tensor& units) const {
    const at::NoGradGuard no_grad;
    return loss_of(net_.loss_kind(), outputs(units), target_);
  }

  Tensor sampled() const {
    const auto all = pass_.run(x_);
    if (traits(e_).relaxed) {
      return loss_of(net_.loss_kind(), outputs(all.back().x.flatten(1)), target_).mean();
    }
    return head(all.back(), e_.method == Method::psa ? HeadSignal::flip : HeadSignal::derivative)
        .mean();
  }

  Tensor moments() const {
    const Propagation rule = propagation_of(e_.method);
    LayerMoments m{x_, {}};
    for (size_t l = 0; l < layers(); ++l) {
      const auto& layer = *net_.layers()[l];
      m.mean = as_input_of(layer, m.mean);
      if (m.variance.defined()) m.variance = as_input_of(layer, m.variance);
      std::optional<Key> key;
      if (rule == Propagation::local_reparam) key = key_at(l, m.mean);
      m = layer.moments(m, rule, key);
    }
    Tensor eta = outputs(m.mean.flatten(1));
    if (rule == Propagation::local_reparam) {
      const Tensor v = at::linear(m.variance.flatten(1), net_.weight.square());
      eta = eta + v.sqrt() * normals(eta, stream_.at(layers(), layers(), 0, eta.size(1)));
    }
    return loss_of(net_.loss_kind(), eta, target_).mean();
  }

  Tensor reinforce() const {
    const bool moving = e_.baseline == kMovingBaseline;
    if (moving && !(options_.baseline && options_.baseline->dim() == 0)) {
      fail("baseline=moving needs its state, a tensor without dimensions, in options.baseline");
    }
    const auto all = pass_.run(x_);
    const Tensor f = plain(all.back().x.flatten(1));
    const Tensor signal = moving ? f - options_.baseline->to(f.scalar_type()) : f - e_.baseline;
    const Tensor score = gradient_of((signal * log_probability(all)).mean());
    if (moving) {
      const at::NoGradGuard no_grad;
      Tensor state = *options_.baseline;
      state.mul_(options_.decay).add_(f.mean(), 1 - options_.decay);
    }
    return head(all.back(), HeadSignal::derivative).mean() + score;
  }

  Tensor rloo() const {
    const auto S = static_cast<size_t>(e_.samples);
    std::vector<Tensor> f, scores, values;
    for (size_t s = 0; s < S; ++s) {
      const auto all = pass_.run(x_, s);
      f.push_back(plain(all.back().x.flatten(1)));
      scores.push_back(log_probability(all));
      values.push_back(head(all.back(), HeadSignal::derivative));
    }
    const Tensor F = at::stack(f);
    const Tensor signal = (F - F.mean(0)) * (static_cast<double>(S) / static_cast<double>(S - 1));
    return at::stack(values).mean() + gradient_of((signal * at::stack(scores)).mean());
  }

  /// Layer by layer a pair of states from one uniform, with fresh tails; the main path goes on with
  /// the first of the pair.
  Tensor arm() const {
    if (options_.given) fail("arm: given states do not say which pair they belong to");
    const auto all = pass_.run(x_);
    Tensor score;
    for (size_t l = 0; l < layers(); ++l) {
      const auto& [state, a] = all[l];
      // The uniforms behind the states of the main path.
      const Tensor v = uniforms(a, stream_.at(l, layers(), 0, state[0].numel()));
      const Tensor other = coded(v < at::sigmoid(a.detach()), a);
      const uint64_t s = 1 + 2 * l;
      const Tensor first = plain(pass_.tail(l, state, s)),
                   second = plain(pass_.tail(l, other, s + 1));
      const Tensor part = ((v - 0.5) * a).flatten(1).sum(1) * (first - second);
      score = score.defined() ? score + part : part;
    }
    return head(all.back(), HeadSignal::derivative).mean() + gradient_of(score.mean());
  }

  Tensor exact() const {
    for (const auto& layer : net_.layers()) {
      if (is_linear(*layer) && layer->weight.size(0) <= net_.kMostUnits) continue;
      fail("exact enumerates linear layers of at most " + std::to_string(net_.kMostUnits) +
           " units, got a weight of sizes " + c10::str(layer->weight.sizes()));
    }
    const auto& top = *net_.layers().back();
    const int64_t B = x_.size(0);
    const Tensor eta = outputs(all_states(top));
    Tensor value = loss_of(net_.loss_kind(), eta.unsqueeze(1).expand({-1, B, -1}), target_);
    for (size_t l = layers() - 1; l > 0; --l) {
      const auto& layer = *net_.layers()[l];
      const Tensor a = layer.preactivation(all_states(*net_.layers()[l - 1]));
      value = law(a, all_states(layer)).matmul(value);
    }
    const auto& first = *net_.layers().front();
    const Tensor p = law(first.preactivation(as_input_of(first, x_)), all_states(first));
    return (p * value.t()).sum(1).mean();
  }

  Key key_at(size_t l, const Tensor& input) const {
    const int64_t units = stream_.batch0 == 0 ? 0 : pass_.units_per_example(l, input);
    return stream_.at(l, layers(), 0, units);
  }

  Tensor coded(const Tensor& on, const Tensor& like) const {
    const Tensor b = on.to(like.scalar_type());
    return net_.coding() == Coding::plus_minus_one ? 2 * b - 1 : b;
  }

  const StochasticBinarySequentialImpl& net_;
  const Tensor &x_, &target_;
  const Estimator& e_;
  const NetworkOptions& options_;
  Stream stream_;
  Passage pass_;
};

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
  return Objective(*this, x, target, estimator, options).value();
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
