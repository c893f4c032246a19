#include "lab/network_exact.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "gradthru/error.h"
#include "gradthru/expectation.h"

namespace gradthru::lab {
namespace {

using at::Tensor;

double kappa(const BinaryNetwork& net) {
  return net.coding == Coding::plus_minus_one ? 2 : 1;
}

/// All states of n units: signs [2^n, n], -1 or 1, the first unit slowest.
Tensor signs(int64_t n) {
  return states(2, n, 0, int64_t{1} << n).to(at::kDouble) * 2 - 1;
}

/// The values of units with these signs.
Tensor coded(const BinaryNetwork& net, const Tensor& s) {
  return net.coding == Coding::plus_minus_one ? s : (s + 1) / 2;
}

Tensor preactivations(const NetworkLayer& layer, const Tensor& x) {
  return at::addmm(layer.b, x, layer.W.t());
}

/// The probability of every state of a layer, for each row of preactivations [M, n]: [M, 2^n].
Tensor law(const Tensor& a, const Tensor& s) {
  const Tensor on = (s + 1) / 2;
  return (at::log_sigmoid(a).matmul(on.t()) + at::log_sigmoid(-a).matmul(1 - on.t())).exp();
}

/// The loss of every state of the last hidden layer at every point, [2^n, N].
Tensor losses(const BinaryNetwork& net, const Tensor& eta) {
  return net.loss_of(eta.unsqueeze(1).expand({-1, net.x.size(0), -1}));
}

/// What is known before any rule: signs of each hidden layer, its preactivations for every state of
/// the layer below (for every point in the first one), its law given that, and over the points.
struct Paths {
  std::vector<Tensor> s, a, step, law;
  Tensor eta;  ///< outputs for every state of the last hidden layer, [2^n, outputs]

  explicit Paths(const BinaryNetwork& net) {
    Tensor below = net.x;
    for (size_t l = 0; l < net.hidden_layers(); ++l) {
      s.push_back(signs(net.layers[l].b.size(0)));
      a.push_back(preactivations(net.layers[l], below));
      step.push_back(lab::law(a[l], s[l]));
      law.push_back(l == 0 ? step[l] : law[l - 1].matmul(step[l]));
      below = coded(net, s[l]);
    }
    eta = preactivations(net.layers.back(), below);
  }

  /// The mean over the points of E f.
  Tensor objective(const BinaryNetwork& net) const {
    return (law.back() * losses(net, eta).t()).sum(1).mean();
  }
};

/// The factors of a rule for units with preactivations a that came out on or off: of the signal,
/// for grad_a [M, n], and for the units below with signs s, [M, n, units below]; s is undefined
/// where they are real.
struct Factors {
  Tensor grad_a, below;
};

Factors factors(const BinaryNetwork& net, const Estimator& rule, const Tensor& a, double sign,
                const Tensor& W, const Tensor& s) {
  const double k = kappa(net);
  const Tensor slope = at::sigmoid(a) * at::sigmoid(-a), wrong = at::sigmoid(-sign * a);
  if (rule.method == Method::reinforce) return {sign * wrong, {}};
  if (rule.method == Method::psa) {
    if (!s.defined()) return {sign * slope, {}};
    const Tensor flipped = a.unsqueeze(-1) - k * W * s.unsqueeze(1);
    return {sign * slope, sign * (at::sigmoid(a).unsqueeze(-1) - at::sigmoid(flipped))};
  }
  const Tensor factor = rule.method == Method::st        ? k * slope
                        : rule.method == Method::hard_st ? k / 2 * (a.abs() < 1).to(at::kDouble)
                        : rule.method == Method::zgr     ? k / 2 * wrong
                                                         : k * wrong.square();
  return {factor, s.defined() ? factor.unsqueeze(-1) * W : Tensor()};
}

/// d loss / d outputs for every state of the last hidden layer and every point, [2^n, N, outputs].
Tensor error_of(const BinaryNetwork& net, const Tensor& eta) {
  const Tensor each = eta.unsqueeze(1).expand({-1, net.x.size(0), -1}).contiguous();
  const Tensor leaf = each.detach().requires_grad_();
  return torch::autograd::grad({net.loss_of(leaf).sum()}, {leaf})[0];
}

/// The signal at the last hidden layer, [2^n, N, n]: what flipping a unit changes, or the
/// derivative; for reinforce the loss less its baseline, [2^n, N, 1].
Tensor top_signal(const BinaryNetwork& net, const Estimator& rule, const Tensor& eta, int64_t n) {
  if (rule.method != Method::psa && rule.method != Method::reinforce) {
    return error_of(net, eta).matmul(net.layers.back().W);
  }
  const Tensor f = losses(net, eta), number = at::arange(f.size(0), at::kLong);
  if (rule.method == Method::reinforce) return f.unsqueeze(-1) - rule.baseline;
  std::vector<Tensor> d;
  for (int64_t i = 0; i < n; ++i) {
    d.push_back(f - f.index_select(0, number.bitwise_xor(int64_t{1} << (n - 1 - i))));
  }
  return at::stack(d, -1);
}

/// E[signal | state of a layer, point] and E[signal signal' | ..]: [2^n, N, n], [2^n, N, n, n].
/// Signals are linear in those above, so that the mean passes down as one signal does.
struct Signal {
  Tensor mean, second;
};

/// A linear map's gradient e x', e [M, N, out] for x [M, in] with the probabilities p [N, M]: its
/// mean for each point, and the mean of its squared length. `squares` is E|e|^2, [M, N].
struct OuterProduct {
  Tensor W, b;     ///< [N, out, in], [N, out]
  Tensor squares;  ///< [N]
};

OuterProduct outer_product(const Tensor& e, const Tensor& squares, const Tensor& x,
                           const Tensor& p) {
  const Tensor weighted = e * p.t().unsqueeze(-1);  // [M, N, out]
  const Tensor size = x.square().sum(-1) + 1;
  return {at::einsum("mno,mi->noi", {weighted, x}), weighted.sum(0),
          (p * (squares * size.unsqueeze(-1)).t()).sum(1)};
}

/// The sum over the states of a layer for each state below: step [M, 2^n] times [2^n, ..].
Tensor averaged(const Tensor& step, const Tensor& t) {
  std::vector<int64_t> sizes = t.sizes().vec();
  sizes[0] = step.size(0);
  return step.matmul(t.reshape({t.size(0), -1})).view(sizes);
}

/// Moments of grad_a of a layer given the state below: its mean [M, N, n] and E|grad_a|^2 [M, N].
struct GradA {
  Tensor mean, squares;
};

GradA grad_a_of(const Tensor& step, const Tensor& s, const Signal& signal,
                const std::array<Factors, 2>& f) {
  GradA result;
  const Tensor diagonal = signal.second.diagonal(0, -2, -1);
  for (const int on : {0, 1}) {
    const Tensor mask = (s == 2 * on - 1).to(at::kDouble).unsqueeze(1);
    const Tensor factor = f[static_cast<size_t>(on)].grad_a.unsqueeze(1);
    const Tensor mean = averaged(step, signal.mean * mask) * factor;
    const Tensor squares = (averaged(step, diagonal * mask) * factor.square()).sum(-1);
    result.mean = on ? result.mean + mean : mean;
    result.squares = on ? result.squares + squares : squares;
  }
  return result;
}

/// The signal one layer down.
Signal passed_down(const Tensor& step, const Tensor& s, const Signal& signal,
                   const std::array<Factors, 2>& f) {
  if (!f[0].below.defined()) return {averaged(step, signal.mean), averaged(step, signal.second)};
  Signal result;
  const auto add = [](Tensor& sum, const Tensor& t) { sum = sum.defined() ? sum + t : t; };
  for (const int on : {0, 1}) {
    const Tensor mask = (s == 2 * on - 1).to(at::kDouble).unsqueeze(1);  // [2^n, 1, n]
    const Tensor& below = f[static_cast<size_t>(on)].below;              // [M, n, units below]
    add(result.mean, averaged(step, signal.mean * mask).matmul(below));
    for (const int other : {0, 1}) {
      const Tensor both =
          mask.unsqueeze(-1) * (s == 2 * other - 1).to(at::kDouble).unsqueeze(1).unsqueeze(2);
      const Tensor products = averaged(step, signal.second * both);  // [M, N, n, n]
      add(result.second,
          at::einsum("mji,mnjk,mkl->mnil", {below, products, f[static_cast<size_t>(other)].below}));
    }
  }
  return result;
}

/// Every layer's gradient of one path for each point, from the head down.
std::vector<OuterProduct> of_points(const BinaryNetwork& net, const Estimator& rule) {
  const Paths paths(net);
  const size_t hidden = net.hidden_layers();
  std::vector<OuterProduct> all(hidden + 1);
  const Tensor error = error_of(net, paths.eta);
  all[hidden] =
      outer_product(error, error.square().sum(-1), coded(net, paths.s.back()), paths.law.back());
  const Tensor top = top_signal(net, rule, paths.eta, paths.s.back().size(1));
  Signal signal{top, top.unsqueeze(-1) * top.unsqueeze(-2)};
  for (size_t l = hidden; l-- > 1;) {
    const Tensor &s = paths.s[l], below = paths.s[l - 1];
    const auto f = [&](double sign) {
      return factors(net, rule, paths.a[l], sign, net.layers[l].W, below);
    };
    const std::array<Factors, 2> both = {f(-1), f(1)};
    const GradA grad = grad_a_of(paths.step[l], s, signal, both);
    all[l] = outer_product(grad.mean, grad.squares, coded(net, below), paths.law[l - 1]);
    signal = passed_down(paths.step[l], s, signal, both);
  }
  // In the first layer the preactivations are those of the point: each has a law of its own.
  std::vector<OuterProduct> first;
  for (int64_t p = 0; p < net.x.size(0); ++p) {
    const auto f = [&](double sign) {
      return factors(net, rule, paths.a[0].narrow(0, p, 1), sign, {}, {});
    };
    const Signal mine{signal.mean.narrow(1, p, 1), signal.second.narrow(1, p, 1)};
    const GradA grad = grad_a_of(paths.step[0].narrow(0, p, 1), paths.s[0], mine, {f(-1), f(1)});
    first.push_back(outer_product(grad.mean, grad.squares, net.x.narrow(0, p, 1),
                                  at::ones({1, 1}, at::kDouble)));
  }
  const auto joined = [&](Tensor OuterProduct::*part) {
    std::vector<Tensor> parts;
    for (const OuterProduct& one : first) parts.push_back(one.*part);
    return at::cat(parts);
  };
  all[0] = {joined(&OuterProduct::W), joined(&OuterProduct::b), joined(&OuterProduct::squares)};
  return all;
}

/// So many points at once that the second moments of the widest layer stay small.
int64_t points_at_once(const BinaryNetwork& net) {
  constexpr int64_t kMostNumbers = int64_t{1} << 23;
  int64_t each = 1;
  for (size_t l = 0; l < net.hidden_layers(); ++l) {
    const int64_t n = net.layers[l].b.size(0);
    each = std::max(each, (int64_t{1} << n) * n * n);
  }
  return std::max<int64_t>(1, kMostNumbers / each);
}

}  // namespace

bool has_path_moments(const Estimator& e) {
  static constexpr std::array kRules = {Method::psa, Method::st,   Method::hard_st,
                                        Method::zgr, Method::darn, Method::reinforce};
  const bool at_law_of_net = e.tau_f == Temperature(1) && e.tau_b == Temperature(1);
  return std::find(kRules.begin(), kRules.end(), e.method) != kRules.end() && at_law_of_net &&
         std::isfinite(e.baseline);
}

NetworkGradient exact_gradient(const BinaryNetwork& given) {
  BinaryNetwork net = given;
  std::vector<Tensor> leaves;
  for (NetworkLayer& layer : net.layers) {
    for (Tensor* t : {&layer.W, &layer.b}) {
      leaves.push_back(*t = t->detach().clone().requires_grad_());
    }
  }
  const Tensor value = Paths(net).objective(net);
  const auto grads = torch::autograd::grad({value}, leaves);
  NetworkGradient result;
  result.value = value.item<double>();
  for (size_t l = 0; l < net.layers.size(); ++l) {
    result.layers.push_back({grads[2 * l], grads[2 * l + 1]});
  }
  return result;
}

NetworkMoments path_moments(const BinaryNetwork& net, const Estimator& rule) {
  if (!has_path_moments(rule)) {
    throw InvalidInput(to_string(rule) + ": is no function of the sampled path alone");
  }
  const int64_t N = net.x.size(0), block = points_at_once(net);
  NetworkMoments result;
  for (int64_t first = 0; first < N; first += block) {
    BinaryNetwork some = net;
    some.x = net.x.narrow(0, first, std::min(block, N - first));
    some.y = net.y.narrow(0, first, std::min(block, N - first));
    const auto layers = of_points(some, rule);
    if (first == 0) {
      for (const NetworkLayer& layer : net.layers) {
        result.mean.push_back({at::zeros_like(layer.W), at::zeros_like(layer.b)});
        result.variance.push_back(0);
      }
    }
    const double points = static_cast<double>(N);
    for (size_t l = 0; l < layers.size(); ++l) {
      const OuterProduct& one = layers[l];
      result.mean[l].W += one.W.sum(0) / points;
      result.mean[l].b += one.b.sum(0) / points;
      const Tensor of_mean = one.W.square().sum({1, 2}) + one.b.square().sum(1);
      result.variance[l] +=
          (one.squares - of_mean).clamp_min(0).sum().item<double>() / (points * points);
    }
  }
  return result;
}

}  // namespace gradthru::lab
