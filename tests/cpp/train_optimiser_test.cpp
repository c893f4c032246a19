#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include "train/fused_adam.h"
#include "train/optimiser.h"
#include "train/radam.h"

namespace gradthru::train {
namespace {
using torch::optim::Optimizer;

constexpr int kSteps = 14;
constexpr int kSize = 3;
using Trajectory = double[kSteps][kSize];

// Parameters after each step of Python's torch.optim.RAdam(lr=0.05), float64, on
// f(x) = sum a (x - c)^2 / 2 with a = (1, 10, 0.1), c = (1, -2, 3), from x = (0.5, 0.25, -1.5).
// The first five steps are unrectified.
constexpr Trajectory kPlain = {
    {0.525, -0.875, -1.4775},
    {0.549342105263158, -1.7039473684210527, -1.4550592105263158},
    {0.5730166051660517, -2.2816323557972424, -1.4326794887356769},
    {0.5960149404393449, -2.6503899906654906, -1.410362670215454},
    {0.6183297558241713, -2.8496883619746085, -1.3881105644419638},
    {0.6195944985714088, -2.849839720406615, -1.386821521914635},
    {0.6211907903977532, -2.849755709980396, -1.385187686978081},
    {0.6230733270453723, -2.849400225586632, -1.3832549329737367},
    {0.6252110939996112, -2.8487612811590046, -1.3810548627373997},
    {0.6275808907581968, -2.847838526782206, -1.3786111179137825},
    {0.6301643809974801, -2.8466374995885446, -1.3759422789721012},
    {0.6329464977170229, -2.8451667143577657, -1.3730634508969335},
    {0.6359144864024363, -2.843436107773803, -1.369987225204537},
    {0.6390572890212266, -2.841456178920602, -1.3667243057156253},
};
// The same with weight_decay=0.1.
constexpr Trajectory kDecayed = {
    {0.5225, -0.87625, -1.47},
    {0.5443486842105263, -1.703154605263158, -1.440157894736842},
    {0.5655376408040396, -2.2765545312196545, -1.410478345309769},
    {0.5860596806084469, -2.6397014870620414, -1.3809659275994668},
    {0.6059088864801366, -2.8328413107687744, -1.351625119479726},
    {0.6071701558278363, -2.8329784989470803, -1.350338215056572},
    {0.6087610061686058, -2.832876789284037, -1.3487076650286913},
    {0.6106361419078977, -2.8325010713715835, -1.3467792796830276},
    {0.6127645443605159, -2.831840106637494, -1.3445845912450134},
    {0.6151229716307087, -2.8308941073336356, -1.3421471780657115},
    {0.6176930011260963, -2.829669033482831, -1.3394855694238463},
    {0.620459432908852, -2.8281737181533444, -1.336614832353412},
    {0.6234093331284294, -2.826418337584741, -1.3335475334320468},
    {0.6265314189459513, -2.824413570912768, -1.3302943638379316},
};

void expect_trajectory(const Trajectory& wanted, double weight_decay) {
  const at::Tensor a = at::tensor({1.0, 10.0, 0.1}, at::kDouble);
  const at::Tensor c = at::tensor({1.0, -2.0, 3.0}, at::kDouble);
  at::Tensor x = at::tensor({0.5, 0.25, -1.5}, at::kDouble).requires_grad_();
  RAdam optimiser({x}, RAdamOptions(0.05).weight_decay(weight_decay));
  for (int t = 0; t < kSteps; ++t) {
    x.mutable_grad() = a * (x.detach() - c);
    optimiser.step();
    for (int i = 0; i < kSize; ++i) {
      EXPECT_NEAR(x.detach()[i].item<double>(), wanted[t][i], 1e-12) << "step " << t + 1;
    }
  }
}

TEST(RAdam, FollowsPython) {
  expect_trajectory(kPlain, 0);
}
TEST(RAdam, FollowsPythonWithWeightDecay) {
  expect_trajectory(kDecayed, 0.1);
}

std::vector<at::Tensor> make_params(at::ScalarType dtype) {
  std::vector<at::Tensor> params;
  for (const int64_t n : {1, 7, 64, 1001}) {
    params.push_back(at::arange(n, dtype).mul_(0.37).sin_().requires_grad_());
  }
  return params;
}

// Gradients that depend on the step alone, so that two optimisers see the same.
void set_gradients(std::vector<at::Tensor>& params, int step) {
  for (at::Tensor& param : params) {
    param.mutable_grad() = at::arange(param.numel(), param.options().requires_grad(false))
                               .mul_(0.11)
                               .add_(step)
                               .cos_();
  }
}

TEST(FusedAdam, EqualsTorchUpToRoundOff) {
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    auto ours = make_params(dtype), theirs = make_params(dtype);
    const auto options = torch::optim::AdamOptions(0.01).weight_decay(0.1).eps(1e-6);
    FusedAdam fused(ours, options);
    torch::optim::Adam adam(theirs, options);
    for (int step = 0; step < 50; ++step) {
      set_gradients(ours, step);
      set_gradients(theirs, step);
      fused.step();
      adam.step();
    }
    const double tolerance = dtype == at::kDouble ? 1e-13 : 1e-5;
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_TRUE(at::allclose(ours[i], theirs[i], tolerance, tolerance)) << i;
    }
  }
}

// A strided gradient must be read by its strides; one that is missing leaves its parameter alone,
// and that parameter's count behind.
TEST(FusedAdam, ReadsStridedAndMissingGradients) {
  at::Tensor ours = at::zeros({3, 4}, at::kDouble).requires_grad_();
  at::Tensor theirs = at::zeros({3, 4}, at::kDouble).requires_grad_();
  at::Tensor late = at::zeros({2}, at::kDouble).requires_grad_();
  at::Tensor late_too = at::zeros({2}, at::kDouble).requires_grad_();
  FusedAdam fused(std::vector<at::Tensor>{ours, late});
  torch::optim::Adam adam(std::vector<at::Tensor>{theirs, late_too});
  const at::Tensor gradient = at::arange(12, at::kDouble).view({4, 3}).t();
  for (int step = 0; step < 4; ++step) {
    ours.mutable_grad() = gradient.mul(step + 1);
    theirs.mutable_grad() = gradient.mul(step + 1);
    if (step >= 2) {
      late.mutable_grad() = at::arange(2, at::kDouble).add_(step);
      late_too.mutable_grad() = at::arange(2, at::kDouble).add_(step);
    }
    fused.step();
    adam.step();
    if (step < 2) {
      EXPECT_TRUE(at::equal(late, at::zeros({2}, at::kDouble)));
    }
  }
  EXPECT_TRUE(at::allclose(ours, theirs, 1e-13, 1e-13));
  EXPECT_TRUE(at::allclose(late, late_too, 1e-13, 1e-13));
}

class EachOptimiser : public ::testing::TestWithParam<std::string> {};

// Seven steps, a pause with a file format in between, seven more: RAdam pauses past its change of
// phase. The restored one starts with another learning rate, which the checkpoint must win.
TEST_P(EachOptimiser, GoesOnBitForBit) {
  const OptimiserOptions options{.lr = 0.01, .weight_decay = 0.1, .momentum = 0.9};
  auto whole = make_params(at::kFloat);
  auto optimiser = make_optimiser(GetParam(), whole, options);
  Checkpoint checkpoint;
  std::vector<at::Tensor> resumed;
  for (int step = 0; step < 7; ++step) {
    set_gradients(whole, step);
    optimiser->step();
  }
  set_learning_rate(*optimiser, 0.003);
  store(*optimiser, checkpoint, "optimiser.");
  for (auto& entry : checkpoint.tensors) entry.second = entry.second.clone();
  for (const at::Tensor& param : whole) resumed.push_back(param.detach().clone().requires_grad_());
  auto other = make_optimiser(GetParam(), resumed, options);
  restore(*other, checkpoint, "optimiser.");
  for (int step = 7; step < 14; ++step) {
    set_gradients(whole, step);
    set_gradients(resumed, step);
    optimiser->step();
    other->step();
  }
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(at::equal(whole[i], resumed[i])) << i;
}

TEST_P(EachOptimiser, RefusesAnotherModel) {
  auto params = make_params(at::kFloat);
  const OptimiserOptions options{.momentum = 0.9};
  auto optimiser = make_optimiser(GetParam(), params, options);
  set_gradients(params, 0);
  optimiser->step();
  Checkpoint checkpoint;
  store(*optimiser, checkpoint, "");
  std::vector<at::Tensor> fewer(params.begin(), params.end() - 1);
  std::vector<at::Tensor> other_shapes(params.rbegin(), params.rend());
  for (const auto& wrong : {fewer, other_shapes}) {
    auto other = make_optimiser(GetParam(), wrong, options);
    EXPECT_THROW(restore(*other, checkpoint, ""), InvalidInput);
    EXPECT_TRUE(other->state().empty());
  }
}

INSTANTIATE_TEST_SUITE_P(All, EachOptimiser, ::testing::ValuesIn(optimiser_names()));

TEST(MakeOptimiser, RefusesWhatItCannotMake) {
  EXPECT_THROW(make_optimiser("adamm", {}, {}), InvalidInput);
  EXPECT_THROW(make_optimiser("adam", {}, {.lr = -1}), InvalidInput);
  EXPECT_THROW(make_optimiser("adam", {}, {.betas = {0.9, 1.0}}), InvalidInput);
  EXPECT_THROW(make_optimiser("sgd", {}, {.nesterov = true}), InvalidInput);
}

}  // namespace
}  // namespace gradthru::train
