#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "support/psa.h"

// Small networks of PSA layers, by enumeration of every path: where the gradient is exact, and how
// far off it is elsewhere.
namespace {

using at::Tensor;
using gradthru::Coding;
using support::Random;

/// A network of binary layers and a real head, one data point in every row of x.
struct Net {
  std::vector<Tensor> weights, biases;  // the last is the head
  Coding coding = Coding::plus_minus_one;
  std::function<Tensor(const Tensor& outputs, const Tensor& target)> loss;

  size_t hidden_layers() const { return weights.size() - 1; }
  Tensor preactivation(size_t layer, const Tensor& below) const {
    return at::matmul(below, weights[layer].t()) + biases[layer];
  }
  Tensor value(const Tensor& last, const Tensor& target) const {
    return loss(preactivation(hidden_layers(), last), target);
  }
};

Tensor sign_of(const Tensor& states) {
  return at::where(states > 0, 1.0, -1.0).to(at::kDouble);
}

/// All paths: the states of every layer, one path a row.
std::vector<Tensor> all_paths(const Net& net) {
  int64_t units = 0;
  for (size_t l = 0; l < net.hidden_layers(); ++l) units += net.weights[l].size(0);
  const Tensor paths = at::arange(int64_t{1} << units).unsqueeze(1);
  const Tensor on =
      at::bitwise_and(at::bitwise_right_shift(paths, at::arange(units)), 1).to(at::kDouble);
  std::vector<Tensor> states;
  int64_t first = 0;
  for (size_t l = 0; l < net.hidden_layers(); ++l) {
    const int64_t count = net.weights[l].size(0);
    const Tensor bits = on.slice(1, first, first + count);
    states.push_back(net.coding == Coding::plus_minus_one ? 2 * bits - 1 : bits);
    first += count;
  }
  return states;
}

/// Gradients of the expected loss: weights and bias of each layer in one vector.
using Gradients = std::vector<Tensor>;

Tensor joined(const Tensor& weight, const Tensor& bias) {
  return at::cat({weight.flatten(), bias.flatten()});
}

/// By differentiating the sum over all paths.
struct Exact {
  double value = 0;
  Gradients grads;
};

Exact exact(Net net, const Tensor& x, const Tensor& y) {
  for (size_t l = 0; l < net.weights.size(); ++l) {
    net.weights[l] = net.weights[l].detach().clone().set_requires_grad(true);
    net.biases[l] = net.biases[l].detach().clone().set_requires_grad(true);
  }
  const std::vector<Tensor> states = all_paths(net);
  Tensor total = at::zeros({}, at::kDouble);
  for (int64_t n = 0; n < x.size(0); ++n) {
    Tensor log_probability = at::zeros({}, at::kDouble);
    for (size_t l = 0; l < states.size(); ++l) {
      const Tensor a = net.preactivation(l, l == 0 ? x[n].unsqueeze(0) : states[l - 1]);
      log_probability = log_probability + at::log_sigmoid(sign_of(states[l]) * a).sum(1);
    }
    total = total + (log_probability.exp() * net.value(states.back(), y[n])).sum();
  }
  total = total / x.size(0);
  total.backward();
  Exact result{total.item<double>(), {}};
  for (size_t l = 0; l < net.weights.size(); ++l)
    result.grads.push_back(joined(net.weights[l].grad(), net.biases[l].grad()));
  return result;
}

enum class Rule { psa, st };

/// d of the last layer: the loss lost by a flip, or its linearisation.
Tensor flips_of_head(const Net& net, const Tensor& last, const Tensor& target, Rule rule) {
  const double kappa = support::kappa_of(net.coding);
  if (rule == Rule::st) {
    const Tensor leaf = last.detach().clone().set_requires_grad(true);
    net.value(leaf, target).sum().backward();
    return kappa * sign_of(last) * leaf.grad();
  }
  std::vector<Tensor> flips;
  for (int64_t i = 0; i < last.size(1); ++i) {
    Tensor flipped = last.clone();
    flipped.select(1, i) -= kappa * sign_of(last.select(1, i));
    flips.push_back(net.value(last, target) - net.value(flipped, target));
  }
  return at::stack(flips, 1);
}

/// The mean of the estimator over all paths, in the hidden layers.
Gradients mean_gradient(const Net& net, const Tensor& x, const Tensor& y, Rule rule) {
  const std::vector<Tensor> states = all_paths(net);
  Gradients result(states.size());
  for (int64_t n = 0; n < x.size(0); ++n) {
    std::vector<Tensor> below = {x[n].unsqueeze(0).expand({states[0].size(0), x.size(1)})};
    below.insert(below.end(), states.begin(), states.end() - 1);
    std::vector<Tensor> as;
    Tensor probability = at::ones({}, at::kDouble);
    for (size_t l = 0; l < states.size(); ++l) {
      as.push_back(net.preactivation(l, below[l]));
      probability = probability * at::sigmoid(sign_of(states[l]) * as[l]).prod(1);
    }
    Tensor d = flips_of_head(net, states.back(), y[n], rule);
    for (size_t l = states.size(); l-- > 0;) {
      const Tensor grad = probability.unsqueeze(1) / x.size(0) * sign_of(states[l]) *
                          at::sigmoid(as[l]) * at::sigmoid(-as[l]) * d;
      const Tensor both = joined(at::matmul(grad.t(), below[l]), grad.sum(0));
      result[l] = result[l].defined() ? result[l] + both : both;
      if (l == 0) break;
      d = rule == Rule::psa
              ? gradthru::psa_linear({d, as[l], states[l]}, net.weights[l], below[l], net.coding)
              : reference::psa_linear({d, as[l], states[l]}, net.weights[l], below[l],
                                      support::kappa_of(net.coding),
                                      reference::linearised_difference)
                    .grad;
    }
  }
  return result;
}

double relative_bias(const Tensor& mean, const Tensor& exact) {
  return (mean - exact).norm().item<double>() / exact.norm().item<double>();
}

std::vector<double> relative_biases(const Net& net, const Tensor& x, const Tensor& y, Rule rule) {
  const Gradients wanted = exact(net, x, y).grads, got = mean_gradient(net, x, y, rule);
  std::vector<double> biases;
  for (size_t l = 0; l < got.size(); ++l) biases.push_back(relative_bias(got[l], wanted[l]));
  return biases;
}

/// log(1 + e^{-y eta}) of a single output.
Tensor logistic_loss(const Tensor& outputs, const Tensor& target) {
  return at::softplus(-target * outputs.select(1, 0));
}

Tensor matrix(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).reshape({-1, columns});
}

TEST(PsaExactness, KnownAnswers) {
  const Net net{{matrix({.8, -.5, .3, .9, -.7, .4}, 2),
                 matrix({.6, -.4, .5, -.3, .7, .2, .9, .1, -.6}, 3), matrix({1, -.8, .6}, 3)},
                {at::tensor({.1, -.2, .05}, at::kDouble), at::tensor({0., .15, -.1}, at::kDouble),
                 at::tensor({.2}, at::kDouble)},
                Coding::plus_minus_one,
                logistic_loss};
  const Tensor x = matrix({1, .5, -.5, 1, .25, -1, -1.5, -.25}, 2);
  const Tensor y = at::tensor({1., -1., 1., -1.}, at::kDouble);
  const Exact wanted = exact(net, x, y);
  EXPECT_NEAR(wanted.value, .8152459404514978, 1e-14);
  const Tensor bias1 = wanted.grads[0].slice(0, 6);
  EXPECT_NEAR(bias1[0].item<double>(), .003054570495150656, 1e-14);
  EXPECT_NEAR(bias1[1].item<double>(), -.0054899480606515096, 1e-14);
  EXPECT_NEAR(bias1[2].item<double>(), -.00010534254855499268, 1e-14);
  EXPECT_NEAR(wanted.grads[0].norm().item<double>(), .1339250866, 1e-10);
  EXPECT_NEAR(wanted.grads[1].norm().item<double>(), .1175745015, 1e-10);
  EXPECT_NEAR(wanted.grads[2].norm().item<double>(), .2297923263, 1e-10);
  const std::vector<double> st = relative_biases(net, x, y, Rule::st);
  EXPECT_NEAR(st[0], .1191168160, 1e-9);
  EXPECT_NEAR(st[1], .2438210803, 1e-9);
  const std::vector<double> psa = relative_biases(net, x, y, Rule::psa);
  EXPECT_NEAR(psa[0], .0533711822, 1e-9);
  EXPECT_LE(psa[1], 1e-13);
}

TEST(PsaExactness, WorkedExample) {
  const Net net{
      {matrix({.5, -1, 1, .25}, 2), matrix({.8, -.6, -.3, 1.2}, 2), matrix({1, -.5, -.4, .9}, 2)},
      {at::tensor({.1, -.2}, at::kDouble), at::tensor({0., .3}, at::kDouble),
       at::tensor({.2, -.1}, at::kDouble)},
      Coding::plus_minus_one,
      [](const Tensor& outputs, const Tensor&) {
        return -at::log_softmax(outputs, 1).select(1, 0);
      }};
  const Tensor x = matrix({.4, -.7}, 2), s1 = matrix({1, -1}, 2), s2 = matrix({-1, -1}, 2);
  const Tensor a1 = net.preactivation(0, x), a2 = net.preactivation(1, s1);
  EXPECT_NEAR(net.value(s2, Tensor()).item<double>(), .554355244, 1e-9);
  const Tensor d2 = flips_of_head(net, s2, Tensor(), Rule::psa);
  const Tensor d1 = gradthru::psa_linear({d2, a2, s2}, net.weights[1], s1, net.coding);
  const auto grad = [](const Tensor& a, const Tensor& s, const Tensor& d) {
    return (s * at::sigmoid(a) * at::sigmoid(-a) * d)[0];
  };
  EXPECT_NEAR(grad(a2, s2, d2)[0].item<double>(), -.080975519, 1e-9);
  EXPECT_NEAR(grad(a2, s2, d2)[1].item<double>(), .360153431, 1e-9);
  EXPECT_NEAR(grad(a1, s1, d1)[0].item<double>(), -.084225235, 1e-9);
  EXPECT_NEAR(grad(a1, s1, d1)[1].item<double>(), .303964333, 1e-9);
}

/// Random weights for layers of these sizes, input first and head last.
Net random_net(Random& random, const std::vector<int64_t>& sizes, Coding coding) {
  Net net{{}, {}, coding, logistic_loss};
  for (size_t l = 0; l + 1 < sizes.size(); ++l) {
    net.weights.push_back(random.normal({sizes[l + 1], sizes[l]}));
    net.biases.push_back(random.normal({sizes[l + 1]}, 0.5));
  }
  return net;
}

struct Biases {
  std::vector<double> psa, st;
};

Biases biases_of(Random& random, const Net& net, int64_t inputs) {
  const Tensor x = random.normal({3, inputs});
  const Tensor y = 2 * random.integers({3}, 0, 1).to(at::kDouble) - 1;
  return {relative_biases(net, x, y, Rule::psa), relative_biases(net, x, y, Rule::st)};
}

TEST(PsaExactness, ExactInTheLastLayerAndBelowStOnAverageInTheOthers) {
  Random random(21);
  double psa = 0, st = 0;
  int64_t disagree = 0, layers = 0;
  for (int64_t n = 0; n < 24; ++n) {
    const Coding coding = support::kCodings[static_cast<size_t>(n % 2)];
    const std::vector<int64_t> sizes =
        n % 3 == 0 ? std::vector<int64_t>{2, 3, 2, 3, 1} : std::vector<int64_t>{2, 3, 4, 1};
    const Biases biases = biases_of(random, random_net(random, sizes, coding), 2);
    EXPECT_LE(biases.psa.back(), 1e-12);
    EXPECT_GE(biases.st.back(), 1e-3) << "ST should not be exact";
    for (size_t l = 0; l + 1 < biases.psa.size(); ++l) {
      psa += biases.psa[l];
      st += biases.st[l];
      disagree += biases.psa[l] > biases.st[l];
      ++layers;
    }
  }
  EXPECT_LT(psa, st);
  EXPECT_GT(psa, 0.001 * static_cast<double>(layers)) << "PSA should not be exact here";
  RecordProperty("mean_relative_bias_psa", std::to_string(psa / static_cast<double>(layers)));
  RecordProperty("mean_relative_bias_st", std::to_string(st / static_cast<double>(layers)));
  RecordProperty("layers_where_st_is_better",
                 std::to_string(disagree) + " of " + std::to_string(layers));
}

TEST(PsaExactness, ExactWithOneHiddenLayer) {
  Random random(22);
  for (const Coding coding : support::kCodings) {
    const Biases biases = biases_of(random, random_net(random, {3, 6, 1}, coding), 3);
    EXPECT_LE(biases.psa[0], 1e-12);
    EXPECT_GE(biases.st[0], 1e-3);
  }
}

TEST(PsaExactness, ExactIfEachLayerAboveTheFirstHasOneUnit) {
  Random random(23);
  for (const Coding coding : support::kCodings) {
    const Biases biases = biases_of(random, random_net(random, {2, 5, 1, 1, 1}, coding), 2);
    for (const double bias : biases.psa) EXPECT_LE(bias, 1e-12);
    EXPECT_GE(biases.st[0], 1e-3);
  }
}

TEST(PsaExactness, ExactInTheLastTwoLayersForASumOverUnits) {
  Random random(24);
  for (const Coding coding : support::kCodings) {
    Net net = random_net(random, {2, 3, 4, 3, 2}, coding);
    net.loss = [](const Tensor& outputs, const Tensor& target) {
      return outputs.sum(1) * target;  // linear in the units
    };
    const Biases biases = biases_of(random, net, 2);
    EXPECT_GE(biases.psa[0], 1e-3) << "three layers down it is not exact";
    EXPECT_LE(biases.psa[1], 1e-12);
    EXPECT_LE(biases.psa[2], 1e-12);
  }
}

}  // namespace
