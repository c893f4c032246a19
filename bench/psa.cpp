// The flip gradient of PSA layers beside Torch's gradient for the input of the same layer: a linear
// one and the convolutions of CIFAR_S1. Checked, then timed in turn; the counters are the ratio and
// the share of what the bare arithmetic of the terms would allow.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bench/cases.h"
#include "bench/in_turn.h"
#include "bench/psa_arithmetic.h"

namespace gradthru::bench {
namespace {

constexpr double kShorter = 16;  // the bare arithmetic is timed on a part of the terms
constexpr Coding kCoding = Coding::plus_minus_one;

struct Layer {
  std::string name;
  int64_t batch, in, out, side, kernel, stride;
  double largest_weight = 0;  // 0: normal weights of variance 1 / terms; else uniform up to it

  int64_t out_side() const { return (side - kernel) / stride + 1; }
  /// Uses of a weight: sigmoids of the plain formula, products of Torch's convolution.
  double terms() const {
    return static_cast<double>(batch * out_side() * out_side() * out) *
           static_cast<double>(in * kernel * kernel);
  }
};

const std::vector<Layer>& layers() {
  static const std::vector<Layer> all = {{"linear", 256, 1024, 1024, 1, 1, 1},
                                         {"conv2", 64, 96, 96, 30, 3, 1},
                                         {"conv3_stride2", 64, 96, 96, 28, 3, 2},
                                         {"conv4", 64, 96, 192, 13, 3, 1},
                                         {"conv5", 64, 192, 192, 11, 3, 1},
                                         {"conv6_stride2", 64, 192, 192, 9, 3, 2},
                                         {"conv7", 64, 192, 192, 4, 3, 1},
                                         {"conv8_1x1", 64, 192, 192, 2, 1, 1},
                                         {"conv4_large_weights", 64, 96, 192, 13, 3, 1, 7.5}};
  return all;
}

/// Tensors of one layer, in Torch's faster memory format.
class Problem {
 public:
  explicit Problem(const Layer& layer) : linear_(layer.name == "linear"), stride_(layer.stride) {
    at::manual_seed(1);
    const int64_t side = layer.out_side();
    const auto random = [&](at::IntArrayRef shape) {
      const at::Tensor t = at::randn(shape);
      return linear_ ? t.flatten(1) : t.contiguous(at::MemoryFormat::ChannelsLast);
    };
    const auto states = [&](at::IntArrayRef shape) {
      return at::where(random(shape) > 0, 1.0f, -1.0f);
    };
    const std::vector<int64_t> above = {layer.batch, layer.out, side, side};
    units_ = {random(above), random(above), states(above)};
    weight_ = random({layer.out, layer.in, layer.kernel, layer.kernel}) /
              std::sqrt(static_cast<double>(layer.in * layer.kernel * layer.kernel));
    if (layer.largest_weight > 0) {
      weight_ = layer.largest_weight * (2 * at::rand_like(weight_) - 1);
    }
    input_ = states({layer.batch, layer.in, layer.side, layer.side});
  }

  at::Tensor ours() const { return ours(units_, weight_, input_); }
  at::Tensor torch() const {
    if (linear_) return at::mm(units_.flip_grad, weight_);
    return std::get<0>(at::convolution_backward(units_.flip_grad, input_, weight_, std::nullopt,
                                                {stride_, stride_}, {0, 0}, {1, 1}, false, {0, 0},
                                                1, {true, false, false}));
  }

  /// The same in double and, with weights so small that flips act linearly, Torch's gradient.
  void check() const {
    const auto wide = [](const at::Tensor& t) { return t.slice(0, 0, 2).to(at::kDouble); };
    const PsaUnits few = {wide(units_.flip_grad), wide(units_.preactivation), wide(units_.state)};
    const at::Tensor exact = ours(few, weight_.to(at::kDouble), wide(input_));
    const at::Tensor error = (ours().slice(0, 0, 2).to(at::kDouble) - exact).abs().max();
    if (!(error.item<double>() <= 2e-6 * exact.abs().max().item<double>())) {
      throw std::runtime_error("float32 is off");
    }
    Problem small = *this;
    small.weight_ = weight_ * 1e-4;
    const at::Tensor ours = small.ours();
    small.units_.flip_grad = 2 * units_.state * units_.flip_grad *
                             at::sigmoid(units_.preactivation) * at::sigmoid(-units_.preactivation);
    const at::Tensor linear = small.torch() * input_;
    const double scale = linear.abs().max().item<double>();
    if (!((ours - linear).abs().max().item<double>() <= 1e-3 * scale)) {
      throw std::runtime_error("small weights do not give Torch's gradient");
    }
  }

 private:
  at::Tensor ours(const PsaUnits& units, const at::Tensor& weight, const at::Tensor& input) const {
    if (linear_) return psa_linear(units, weight, input, kCoding);
    return psa_conv2d(units, weight, input, kCoding, {.stride = {stride_, stride_}});
  }

  bool linear_;
  int64_t stride_;
  PsaUnits units_;
  at::Tensor weight_, input_;
};

void run(benchmark::State& state, const Layer& layer) {
  const Problem problem(layer);
  if (!passes_check(state, [&] { problem.check(); })) return;
  std::vector<Candidate> candidates = {
      {"psa", [&] { benchmark::DoNotOptimize(problem.ours()); }},
      {"torch", [&] { benchmark::DoNotOptimize(problem.torch()); }},
      {"arithmetic", [&] { psa_arithmetic(layer.terms() / kShorter); }}};
  for (auto _ : state) {
    interleave(candidates, {.repetitions = 25, .seconds = 6});
    report(state, candidates[0], ratio_of(candidates[0], candidates[1]));
    state.counters["arithmetic"] = kShorter * ratio_of(candidates[2], candidates[0]).median;
    state.counters["Gterms/s"] = layer.terms() / spread_of(candidates[0].seconds).median * 1e-9;
  }
}

const bool registered = [] {
  for (const Layer& layer : layers()) {
    register_in_turn("psa/" + layer.name, [layer](benchmark::State& state) { run(state, layer); });
  }
  return true;
}();

}  // namespace
}  // namespace gradthru::bench
