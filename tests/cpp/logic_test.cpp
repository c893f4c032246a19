// Layers of logic gates: the operators against the same in ATen, draws against the mixture,
// circuits on bits against the layers they come from.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "gradthru/nn/logic_circuit.h"
#include "gradthru/nn/logic_gates.h"
#include "support/random.h"
#include "support/refusal.h"
#include "support/tolerance.h"

namespace {

using at::Tensor;
using gradthru::Estimator;
using gradthru::Key;
using gradthru::nn::CircuitLayer;
using gradthru::nn::kLogicGates;
using gradthru::nn::LogicCircuit;
using gradthru::nn::LogicGateLayer;

constexpr Key kKey{.seed = 5, .offset = 3};

LogicGateLayer layer_of(support::Random& random, int64_t in, int64_t out,
                        at::ScalarType dtype = at::kDouble, uint64_t seed = 1) {
  LogicGateLayer layer(in, out, seed);
  layer->to(dtype);
  const at::NoGradGuard no_grad;
  layer->logits.copy_(random.normal({out, kLogicGates}, 1, dtype));
  return layer;
}

/// The same gates by ATen, from one number for each function: bit 3 - 2a - b of k is k at (a, b).
Tensor by_definition(const Tensor& x, const LogicGateLayer& layer, const Tensor& mixture) {
  const Tensor a = x.index_select(1, layer->left), b = x.index_select(1, layer->right);
  Tensor sum = at::zeros_like(a);
  for (int64_t k = 0; k < kLogicGates; ++k) {
    Tensor value = at::zeros_like(a);
    if (k & 8) value = value + (1 - a) * (1 - b);
    if (k & 4) value = value + (1 - a) * b;
    if (k & 2) value = value + a * (1 - b);
    if (k & 1) value = value + a * b;
    sum = sum + mixture.select(1, k) * value;
  }
  return sum;
}

std::vector<Tensor> gradients(const Tensor& output, const Tensor& g, const Tensor& x,
                              const Tensor& logits) {
  return torch::autograd::grad({output}, {x, logits}, {g});
}

TEST(LogicGates, EqualTheirDefinitionWithGradients) {
  support::Random random(1);
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat})
    for (const int64_t B : {1, 5, 16, 37, 100})
      for (const auto& [in, out] : {std::pair<int64_t, int64_t>{2, 1}, {7, 20}, {30, 11}}) {
        const LogicGateLayer layer = layer_of(random, in, out, dtype);
        const Tensor x = random.normal({B, in}, 1, dtype).sigmoid().requires_grad_();
        const Tensor g = random.normal({B, out}, 1, dtype);
        const Tensor ours = layer->soft(x, 0.7);
        const Tensor theirs = by_definition(x, layer, at::softmax(layer->logits / 0.7, -1));
        const double bound = dtype == at::kDouble ? 1e-13 : 1e-5;
        EXPECT_LE((ours - theirs).abs().max().item<double>(), bound);
        const auto got = gradients(ours, g, x, layer->logits),
                   wanted = gradients(theirs, g, x, layer->logits);
        for (size_t i = 0; i < 2; ++i) {
          const double scale = 1 + wanted[i].abs().max().item<double>();
          EXPECT_LE((got[i] - wanted[i]).abs().max().item<double>(), bound * scale) << i;
        }
      }
}

TEST(LogicGates, TakeAnyStridesAndOneExample) {
  support::Random random(2);
  const LogicGateLayer layer = layer_of(random, 9, 12);
  const Tensor x = random.normal({6, 9}, 1).sigmoid();
  const Tensor plain = layer->soft(x);
  support::expect_same_bits(layer->soft(x.t().contiguous().t()), plain, "turned");
  support::expect_same_bits(layer->soft(at::cat({x, x}, 1).slice(1, 9, 18)), plain, "piece");
  support::expect_same_bits(layer->soft(x[2]), plain[2], "one");
}

TEST(LogicGates, HaveTheTruthTableOfTheirNumber) {
  LogicGateLayer layer(2, kLogicGates, 3);
  {
    const at::NoGradGuard no_grad;
    layer->logits.copy_(at::eye(kLogicGates));
    layer->left.fill_(0);
    layer->right.fill_(1);
  }
  const Tensor x = at::tensor({0., 0., 0., 1., 1., 0., 1., 1.}, at::kFloat).reshape({4, 2});
  const Tensor y = layer->hard(x);
  for (int64_t k = 0; k < kLogicGates; ++k)
    for (int64_t row = 0; row < 4; ++row)  // row 2a + b
      EXPECT_EQ(y[row][k].item<float>(), static_cast<float>(k >> (3 - row) & 1)) << k;
}

// The output is linear in the choice: its mean over draws is the mixture, and st has its gradient.
TEST(LogicGates, AverageOverDrawsIsTheMixture) {
  support::Random random(4);
  const LogicGateLayer layer = layer_of(random, 3, 1);
  const Tensor x = random.normal({8, 3}, 1).sigmoid().requires_grad_();
  const Tensor g = random.normal({8, 1}, 1);
  const Tensor p = at::softmax(layer->logits.detach(), -1)[0];
  Tensor mean = at::zeros({8, 1}, at::kDouble);
  std::vector<Tensor> mean_gradients = {at::zeros({8, 3}, at::kDouble),
                                        at::zeros({1, kLogicGates}, at::kDouble)};
  for (int64_t k = 0; k < kLogicGates; ++k) {
    const Tensor y = layer->forward(x, gradthru::st(), {.index = at::tensor({k}), .key = kKey});
    mean = mean + p[k] * y.detach();
    const auto got = gradients(y, g, x, layer->logits);
    for (size_t i = 0; i < 2; ++i) mean_gradients[i] = mean_gradients[i] + p[k] * got[i];
  }
  const Tensor soft = layer->soft(x);
  EXPECT_LE((mean - soft).abs().max().item<double>(), 1e-14);
  const auto wanted = gradients(soft, g, x, layer->logits);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_LE((mean_gradients[i] - wanted[i]).abs().max().item<double>(), 1e-14) << i;
}

TEST(LogicGates, DrawAGateOnceForTheBatchByTheKey) {
  support::Random random(5);
  const LogicGateLayer layer = layer_of(random, 6, 50);
  const Tensor x = random.normal({4, 6}, 1).gt(0).to(at::kDouble);
  const Tensor onehot = gradthru::sample(layer->logits, gradthru::reinmax(), {.key = kKey}).onehot;
  const Tensor y = layer->forward(x, gradthru::reinmax(), {.key = kKey});
  EXPECT_LE((y - by_definition(x, layer, onehot)).abs().max().item<double>(), 1e-15);
  EXPECT_TRUE(((y == 0) | (y == 1)).all().item<bool>());
}

TEST(LogicGates, HaveTheSameBitsForAnyNumberOfThreads) {
  support::Random random(6);
  const LogicGateLayer layer = layer_of(random, 50, 3000, at::kFloat);
  const Tensor x = random.normal({200, 50}, 1, at::kFloat).sigmoid().requires_grad_();
  const Tensor g = random.normal({200, 3000}, 1, at::kFloat);
  const int before = at::get_num_threads();
  std::vector<Tensor> first;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    const Tensor y = layer->soft(x);
    std::vector<Tensor> all = gradients(y, g, x, layer->logits);
    all.push_back(y);
    if (first.empty()) first = all;
    for (size_t i = 0; i < 3; ++i)
      support::expect_same_bits(all[i], first[i], std::to_string(threads));
  }
  at::set_num_threads(before);
}

TEST(LogicWiring, IsBalancedDistinctAndOfTheSeed) {
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{2, 9}, {3, 2}, {400, 1000}, {50, 7}}) {
    const LogicGateLayer layer(in, out, 11), same(in, out, 11), other(in, out, 12);
    EXPECT_TRUE((layer->left != layer->right).all().item<bool>());
    EXPECT_TRUE(at::equal(layer->left, same->left) && at::equal(layer->right, same->right));
    if (in > 10) {
      EXPECT_FALSE(at::equal(layer->left, other->left));
    }
    const Tensor uses = at::bincount(at::cat({layer->left, layer->right}), {}, in);
    EXPECT_LE((uses.max() - uses.min()).item<int64_t>(), 2) << in << " " << out;
  }
}

TEST(LogicGates, RefuseBadArguments) {
  support::Random random(7);
  support::expect_refused([] { LogicGateLayer(1, 4); }, "at least 2 inputs, got 1");
  support::expect_refused([] { LogicGateLayer(4, 0); }, "at least 1 gate, got 0");
  const LogicGateLayer layer = layer_of(random, 6, 4);
  const Tensor x = random.normal({3, 6}, 1);
  support::expect_refused([&] { layer->soft(random.normal({3, 5}, 1)); }, "[B, 6], got [3, 5]");
  support::expect_refused([&] { layer->soft(x, 0); }, "tau must be > 0");
  support::expect_refused([&] { layer->forward(x, gradthru::rloo(), {}); }, "use expectation");
  support::expect_refused([&] { gradthru::nn::group_sum(x, 4); }, "multiple of the groups 4");
  EXPECT_THROW(layer->soft(x.to(at::kFloat)), c10::TypeError);
  layer->left.fill_(6);
  EXPECT_THROW(layer->soft(x), c10::IndexError);
  layer->left.fill_(0);
  const Tensor leaf = x.clone().requires_grad_();
  const Tensor first =
      torch::autograd::grad({layer->soft(leaf).sum()}, {leaf}, {}, true, /*create_graph=*/true)[0];
  EXPECT_THROW(torch::autograd::grad({first.sum()}, {leaf}), c10::Error);
}

TEST(GroupSum, SumsPartsInOrder) {
  const Tensor x = at::arange(12, at::kDouble).reshape({2, 6});
  const Tensor wanted = at::tensor({3., 12., 21., 30.}, at::kDouble).reshape({2, 2}) / 10;
  EXPECT_TRUE(at::allclose(gradthru::nn::group_sum(x, 2, 10), wanted));
}

TEST(LogicCircuit, IsTheHardNetworkOnBits) {
  support::Random random(8);
  const std::vector<LogicGateLayer> layers = {layer_of(random, 30, 64), layer_of(random, 64, 40),
                                              layer_of(random, 40, 20)};
  const LogicCircuit circuit(layers, 5);
  for (const int64_t B : {1, 63, 64, 65, 511, 1300}) {
    const Tensor x = random.normal({B, 30}, 1).gt(0.3).to(at::kDouble);
    Tensor y = x;
    for (const auto& layer : layers) y = layer->hard(y);
    EXPECT_TRUE(at::equal(circuit.evaluate(x).to(at::kDouble), y)) << B;
    EXPECT_TRUE(at::equal(circuit.counts(x).to(at::kDouble), gradthru::nn::group_sum(y, 5))) << B;
  }
}

/// 2 inputs; a gate for each function.
std::vector<LogicGateLayer> all_functions() {
  LogicGateLayer layer(2, kLogicGates);
  const at::NoGradGuard no_grad;
  layer->logits.copy_(at::eye(kLogicGates));
  layer->left.fill_(0);
  layer->right.fill_(1);
  return {layer};
}

TEST(LogicCircuit, EvaluatesEveryFunction) {
  const LogicCircuit circuit(all_functions());
  const Tensor x = at::tensor({0., 0., 0., 1., 1., 0., 1., 1.}).reshape({4, 2});
  const Tensor y = circuit.evaluate(x);
  for (int64_t k = 0; k < kLogicGates; ++k)
    for (int64_t row = 0; row < 4; ++row)
      EXPECT_EQ(y[row][k].item<bool>(), (k >> (3 - row) & 1) != 0) << k;
}

TEST(LogicCircuit, LeavesOutWhatNoOutputDependsOn) {
  // Layer 1: gates 0 and 1 of x0, x1. Layer 2: one gate that passes its left input on.
  LogicGateLayer first(2, 2), second(2, 1);
  {
    const at::NoGradGuard no_grad;
    first->logits.zero_();
    first->logits.select(1, 6).fill_(1);  // xor
    second->logits.zero_();
    second->logits.select(1, 3).fill_(1);  // a
    for (const auto& layer : {first, second}) {
      layer->left.fill_(0);
      layer->right.fill_(1);
    }
  }
  const LogicCircuit circuit({first, second});
  EXPECT_EQ(circuit.used_gates(), 2);
  EXPECT_EQ(circuit.verilog("net"),
            "module net(input wire [1:0] x, output wire [0:0] y);\n"
            "  wire x_0 = x[0];\n"
            "  wire x_1 = x[1];\n"
            "  wire g1_0 = x_0 ^ x_1;\n"
            "  wire y_0 = g1_0;\n"
            "  assign y = {y_0};\n"
            "endmodule\n");
  EXPECT_EQ(circuit.c_source("net"),
            "#include <stdint.h>\n\nvoid net(const uint64_t *x, uint64_t *y) {\n"
            "  static _Thread_local uint64_t g1[2];\n"
            "  g1[0] = x[0] ^ x[1];\n"
            "  y[0] = g1[0];\n"
            "}\n");
}

TEST(LogicCircuit, RefusesBadArguments) {
  support::Random random(9);
  const LogicGateLayer a = layer_of(random, 4, 6), b = layer_of(random, 5, 3);
  support::expect_refused([] { LogicCircuit(std::vector<LogicGateLayer>()); },
                          "at least one layer");
  support::expect_refused([&] { LogicCircuit({a, b}); }, "5 inputs stands on one of 6 gates");
  support::expect_refused([&] { LogicCircuit({a}, 4); }, "divide the 6 outputs, got 4");
  const LogicCircuit circuit({a});
  support::expect_refused([&] { circuit.evaluate(at::zeros({2, 3})); }, "[B, 4], got [2, 3]");
  support::expect_refused([&] { circuit.verilog("2x"); }, "identifier, got '2x'");
}

}  // namespace
