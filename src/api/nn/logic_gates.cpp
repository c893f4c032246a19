#include "gradthru/nn/logic_gates.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "api/sampling_call.h"
#include "api/shape_text.h"
#include "gradthru/categorical.h"
#include "gradthru/error.h"

namespace gradthru::nn {
namespace {

using at::Tensor;

[[noreturn]] void fail(const std::string& what) {
  throw InvalidInput("LogicGateLayer: " + what);
}

}  // namespace

Tensor logic_functions(const at::TensorOptions& options) {
  std::vector<double> numbers;
  for (int64_t k = 0; k < kLogicGates; ++k) {
    const auto value = [k](int a, int b) { return static_cast<double>(k >> (3 - 2 * a - b) & 1); };
    const double none = value(0, 0), a = value(1, 0), b = value(0, 1), both = value(1, 1);
    numbers.insert(numbers.end(), {none, a - none, b - none, both - a - b + none});
  }
  return at::tensor(numbers, options).reshape({kLogicGates, 4});
}

std::pair<Tensor, Tensor> logic_wiring(int64_t in, int64_t out, uint64_t seed) {
  if (in < 2) fail("wants at least 2 inputs, got " + std::to_string(in));
  if (out < 1) fail("wants at least 1 gate, got " + std::to_string(out));
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  const Tensor names = at::randperm(in, generator, at::kLong);
  Tensor drawn = names.index({at::randperm(2 * out, generator, at::kLong).remainder(in)}).clone();
  auto* ends = drawn.mutable_data_ptr<int64_t>();
  for (int64_t g = 0; g < out; ++g) {
    // A gate that sees one input twice changes its second end with the next gate that can take it.
    for (int64_t k = 1; ends[g] == ends[out + g] && k < out; ++k) {
      const int64_t other = (g + k) % out;
      const bool fits = ends[out + other] != ends[g] && ends[other] != ends[out + g];
      if (fits) std::swap(ends[out + g], ends[out + other]);
    }
    if (ends[g] == ends[out + g]) ends[out + g] = (ends[g] + 1) % in;
  }
  return {drawn.narrow(0, 0, out).clone(), drawn.narrow(0, out, out).clone()};
}

LogicGateLayerImpl::LogicGateLayerImpl(int64_t in, int64_t out, uint64_t seed) : inputs_(in) {
  const auto [a, b] = logic_wiring(in, out, seed);
  logits = register_parameter("logits", at::randn({out, kLogicGates}));
  left = register_buffer("left", a);
  right = register_buffer("right", b);
}

void LogicGateLayerImpl::to(at::Device device, at::ScalarType dtype, bool non_blocking) {
  to(device, non_blocking);
  to(dtype, non_blocking);
}

void LogicGateLayerImpl::to(at::ScalarType dtype, bool non_blocking) {
  logits.set_data(logits.to(dtype, non_blocking));
}

Tensor LogicGateLayerImpl::apply(const Tensor& x, const Tensor& mixture) const {
  using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&);
  static const auto op = find_op<Signature>("gradthru::logic_gates");
  if (x.dim() < 1 || x.dim() > 2 || x.size(-1) != inputs_) {
    fail("input must be [B, " + std::to_string(inputs_) + "], got " + shape_text(x.sizes()));
  }
  const Tensor coefficients =
      mixture.matmul(logic_functions(logits.options().requires_grad(false)));
  const Tensor rows = x.dim() == 1 ? x.unsqueeze(1) : x.t();
  const Tensor out = op.call(rows, left, right, coefficients).t();
  return x.dim() == 1 ? out.squeeze(0) : out;
}

Tensor LogicGateLayerImpl::forward(const Tensor& x, const Estimator& estimator,
                                   const LogicGateOptions& options) const {
  const SampleOptions draw{
      .index = options.index, .key = options.key, .generator = options.generator};
  return apply(x, sample(logits, estimator, draw).onehot);
}

Tensor LogicGateLayerImpl::soft(const Tensor& x, double tau) const {
  if (!(tau > 0)) fail("tau must be > 0, got " + std::to_string(tau));
  return apply(x, at::softmax(logits / tau, -1));
}

Tensor LogicGateLayerImpl::gates() const {
  return logits.detach().argmax(-1);
}

Tensor LogicGateLayerImpl::hard(const Tensor& x) const {
  return apply(x, at::one_hot(gates(), kLogicGates).to(logits.scalar_type()));
}

Tensor group_sum(const Tensor& x, int64_t groups, double t) {
  if (x.dim() != 2 || groups < 1 || x.size(1) % groups != 0) {
    throw InvalidInput("group_sum: wants [B, n] with n a multiple of the groups " +
                       std::to_string(groups) + ", got " + shape_text(x.sizes()));
  }
  return x.t().reshape({groups, -1, x.size(0)}).sum(1).t() / t;
}

}  // namespace gradthru::nn
