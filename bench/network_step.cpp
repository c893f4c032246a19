// A training step of the convolutional network CIFAR_S1 by psa and by st, which is a forward and
// backward pass through Torch's own convolutions: time, and what a step adds to the peak of memory.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bench/cases.h"
#include "bench/in_turn.h"
#include "gradthru/nn/binary_conv2d.h"
#include "gradthru/nn/binary_sequential.h"

namespace gradthru::bench {
namespace {

struct Width {
  std::string name;
  int64_t narrow, wide;  // channels of the layers
};

const std::vector<Width> kWidths = {{"cifar_s1", 96, 192}, {"cifar_s1_eighth", 12, 24}};

class Step {
 public:
  explicit Step(const Width& width) {
    at::manual_seed(1);
    nn::StochasticBinarySequentialImpl::Layers layers;
    int64_t in = 3;
    const auto add = [&](int64_t out, int64_t kernel, int64_t stride) {
      layers.push_back(std::make_shared<nn::StochasticBinaryConv2dImpl>(
          in, out, std::array<int64_t, 2>{kernel, kernel},
          ConvOptions{.stride = {stride, stride}}));
      in = out;
    };
    const int64_t n = width.narrow, w = width.wide;
    add(n, 3, 1), add(n, 3, 1), add(n, 3, 2), add(w, 3, 1);
    add(w, 3, 1), add(w, 3, 2), add(w, 3, 1), add(w, 1, 1);
    net_ = nn::StochasticBinarySequential(layers, 10, nn::NetworkLoss::softmax_nll, 4 * w);
    images_ = at::randn({kBatch, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
    labels_ = at::randint(10, {kBatch}, at::kLong);
    net_->normalise(images_);
  }

  /// A step without learning: every repetition sees the same weights.
  void run(const Estimator& e) {
    net_->zero_grad();
    net_->loss(images_, labels_, e, {.key = Key{.seed = 1}}).backward();
  }

  /// Both methods draw the same units, and in the last layer psa is near st for small weights.
  void check() {
    const Key key{.seed = 1};
    const double psa_loss = net_->loss(images_, labels_, psa(), {.key = key}).item<double>();
    const double st_loss = net_->loss(images_, labels_, st(), {.key = key}).item<double>();
    if (psa_loss != st_loss) throw std::runtime_error("psa and st do not draw the same units");
    const at::Tensor top = net_->layers().back()->weight;
    run(psa());
    const at::Tensor ours = top.grad().clone();
    run(st());
    const double cosine =
        (ours * top.grad()).sum().div(ours.norm() * top.grad().norm()).item<double>();
    if (!(cosine > 0.95)) throw std::runtime_error("psa and st differ in the last layer");
  }

 private:
  static constexpr int64_t kBatch = 64;
  nn::StochasticBinarySequential net_{nullptr};
  at::Tensor images_, labels_;
};

void run(benchmark::State& state, const Width& width) {
  Step step(width);
  if (!passes_check(state, [&] { step.check(); })) return;
  std::vector<Candidate> candidates = {{"psa", [&] { step.run(psa()); }},
                                       {"st", [&] { step.run(st()); }}};
  for (auto _ : state) {
    interleave(candidates, {.repetitions = 15, .seconds = 60});
    report(state, candidates[0], ratio_of(candidates[0], candidates[1]));
    const auto memory = [&](const char* name, const Candidate& candidate) {
      const auto bytes = peak_growth(candidate.run);
      if (bytes) state.counters[name] = static_cast<double>(*bytes) / (1 << 20);
    };
    memory("psa_MiB", candidates[0]);
    memory("st_MiB", candidates[1]);
  }
}

const bool registered = [] {
  for (const Width& width : kWidths) {
    register_in_turn("network_step/" + width.name,
                     [width](benchmark::State& state) { run(state, width); });
  }
  return true;
}();

}  // namespace
}  // namespace gradthru::bench
