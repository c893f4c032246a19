// A layer of logic gates, forward and backward, beside the same by ATen's own operations on rows of
// examples. Checked, then timed in turn; the counters are the ratio and its quartiles.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bench/cases.h"
#include "bench/in_turn.h"
#include "gradthru/nn/logic_gates.h"

namespace gradthru::bench {
namespace {

using at::Tensor;

struct LayerSize {
  int64_t batch, in, gates;
};

class Layer {
 public:
  explicit Layer(const LayerSize& size) : layer_(size.in, size.gates, 1) {
    at::manual_seed(1);
    x_ = at::rand({size.in, size.batch}).t().detach().requires_grad_();
    grad_ = at::randn({size.gates, size.batch}).t();
  }

  std::vector<Tensor> ours() const { return gradients(layer_->soft(x_)); }

  /// c0 + c1 a + b (c2 + c3 a) with two gathered copies of the inputs.
  std::vector<Tensor> aten() const {
    const Tensor c = at::softmax(layer_->logits, -1).matmul(nn::logic_functions());
    const auto column = [&](int64_t k) { return c.narrow(1, k, 1); };
    const Tensor rows = x_.t();
    const Tensor a = rows.index_select(0, layer_->left), b = rows.index_select(0, layer_->right);
    return gradients((column(0) + column(1) * a + b * (column(2) + column(3) * a)).t());
  }

  void check() const {
    const auto mine = ours(), theirs = aten();
    for (size_t i = 0; i < mine.size(); ++i) {
      const double scale = theirs[i].abs().max().item<double>();
      if (!((mine[i] - theirs[i]).abs().max().item<double>() <= 1e-5 * (1 + scale))) {
        throw std::runtime_error("differs from ATen's");
      }
    }
  }

 private:
  std::vector<Tensor> gradients(const Tensor& y) const {
    auto all = torch::autograd::grad({y}, {x_, layer_->logits}, {grad_});
    all.push_back(y);
    return all;
  }

  nn::LogicGateLayer layer_;
  Tensor x_, grad_;
};

void run(benchmark::State& state, const LayerSize& size) {
  const Layer layer(size);
  if (!passes_check(state, [&] { layer.check(); })) return;
  std::vector<Candidate> candidates = {{"ours", [&] { benchmark::DoNotOptimize(layer.ours()); }},
                                       {"aten", [&] { benchmark::DoNotOptimize(layer.aten()); }}};
  for (auto _ : state) {
    interleave(candidates, {.repetitions = 25, .seconds = 6});
    report(state, candidates[0], ratio_of(candidates[1], candidates[0]));
  }
}

const bool registered = [] {
  for (const LayerSize& size :
       {LayerSize{100, 400, 8000}, LayerSize{100, 8000, 8000}, LayerSize{512, 8000, 8000}}) {
    const std::string title = "logic_gates/" + std::to_string(size.batch) + "x" +
                              std::to_string(size.in) + "x" + std::to_string(size.gates);
    register_in_turn(title, [size](benchmark::State& state) { run(state, size); });
  }
  return true;
}();

}  // namespace
}  // namespace gradthru::bench
