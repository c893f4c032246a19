#include "gradthru/nn/binary_layer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "api/nn/draws.h"
#include "api/shape_text.h"
#include "gradthru/error.h"
#include "gradthru/nn/binary_conv2d.h"
#include "gradthru/nn/binary_linear.h"

namespace gradthru::nn {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

[[noreturn]] void fail(const std::string& what) {
  throw InvalidInput("StochasticBinaryLayer: " + what);
}

std::vector<int64_t> packed(const std::optional<ConvOptions>& convolution) {
  if (!convolution) return {};
  const ConvOptions& c = *convolution;
  return {c.stride[0],   c.stride[1],   c.padding[0], c.padding[1],
          c.dilation[0], c.dilation[1], c.groups};
}

ConvOptions unpacked(const std::vector<int64_t>& c) {
  return {{c[0], c[1]}, {c[2], c[3]}, {c[4], c[5]}, c[6]};
}

/// Hands on the states that `st` has sampled. Its backward receives their flip gradient d and gives
/// s d / kappa to the states, which st turns into s F'(a) d; the units below get the flip gradient.
class PsaFunction : public torch::autograd::Function<PsaFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& state, const Tensor& a,
                        const std::optional<Tensor>& below, const Tensor& weight, bool pm1,
                        const std::optional<ConvOptions>& convolution) {
    const bool flips = below && below->requires_grad();
    ctx->save_for_backward(
        {state, flips ? a : Tensor(), flips ? *below : Tensor(), flips ? weight : Tensor()});
    ctx->saved_data["pm1"] = pm1;
    ctx->saved_data["convolution"] = packed(convolution);
    return state;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    if (at::GradMode::is_enabled()) fail("psa: a second derivative is not defined");
    const auto saved = ctx->get_saved_variables();
    const Tensor &s = saved[0], &a = saved[1], &below = saved[2], &weight = saved[3], &d = grads[0];
    const bool pm1 = ctx->saved_data["pm1"].toBool();
    // s d / kappa in one pass, from the values of the coding.
    const Tensor grad_state =
        pm1 ? at::addcmul(at::zeros({}, d.options()), d, s, 0.5) : at::addcmul(-d, d, s, 2);
    Tensor d_below;
    if (below.defined()) {
      const Coding coding = pm1 ? Coding::plus_minus_one : Coding::zero_one;
      const auto convolution = ctx->saved_data["convolution"].toIntVector();
      const PsaUnits units{d, a, s};
      d_below = convolution.empty()
                    ? psa_linear(units, weight, below, coding)
                    : psa_conv2d(units, weight, below, coding, unpacked(convolution));
    }
    return {grad_state, Tensor(), d_below, Tensor(), Tensor(), Tensor()};
  }
};

/// Hands the sampled states on with the slope of the hard tanh: `height` where |a| < 1.
class HardStFunction : public torch::autograd::Function<HardStFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& state, const Tensor& a, double height) {
    ctx->save_for_backward({a});
    ctx->saved_data["height"] = height;
    return state;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor inside = ctx->get_saved_variables()[0].abs() < 1;
    const double height = ctx->saved_data["height"].toDouble();
    return {Tensor(), at::where(inside, grads[0] * height, 0.0), Tensor()};
  }
};

/// Whether the units' values are sampled by `st` at temperature 1 and only the backward differs.
bool draws_by_st(const Estimator& e) {
  return about(e.method).family == Family::score || e.method == Method::psa ||
         e.method == Method::hard_st;
}

void check_units(const Tensor& x, Coding coding) {
  const double off = coding == Coding::plus_minus_one ? -1 : 0;
  if (((x == 1) | (x == off)).all().item<bool>()) return;
  fail(std::string("input must be units of values ") +
       (coding == Coding::plus_minus_one ? "-1 and 1" : "0 and 1") +
       ", got others; LayerInput::real is for real input");
}

}  // namespace

StochasticBinaryLayerImpl::StochasticBinaryLayerImpl(Coding coding, at::IntArrayRef weight_sizes)
    : coding_(coding) {
  for (const int64_t size : weight_sizes) {
    if (size < 1) fail("weight sizes must be >= 1, got " + shape_text(weight_sizes));
  }
  weight = register_parameter("weight", at::empty(weight_sizes));
  bias = register_parameter("bias", at::empty({weight_sizes[0]}));
  reset_parameters();
}

void StochasticBinaryLayerImpl::reset_parameters() {
  const at::NoGradGuard no_grad;
  const double fan_in = static_cast<double>(weight.numel() / weight.size(0));
  const double bound = 1 / std::sqrt(fan_in);
  weight.uniform_(-bound, bound);
  bias.uniform_(-bound, bound);
}

LayerSample StochasticBinaryLayerImpl::sample(const Tensor& x, const Estimator& e,
                                              const LayerOptions& options) const {
  const bool units_below = options.input == LayerInput::units;
  if (options.check && units_below) check_units(x, coding_);
  // The flip gradient takes the place of the derivative through W.
  const bool flips = e.method == Method::psa && units_below;
  const Tensor a = preactivation(flips ? x.detach() : x);
  BinaryOptions draw{.coding = coding_,
                     .given = options.given,
                     .key = options.key,
                     .generator = options.generator};
  if (about(e.method).family == Family::pathwise) return {sample_binary(a, e, draw), a};
  if (e.method == Method::concrete) {
    if (options.given) fail("concrete: has no states that could be given");
    return {sample_binary(a, gumbel_softmax({.tau = e.tau_b, .hard = false}), draw), a};
  }
  if (!draws_by_st(e)) {
    fail(to_string(e) +
         " is no rule for a sampled layer; moments() propagates ap1, tanh, ap2 and " +
         "local_reparam");
  }
  const bool pm1 = coding_ == Coding::plus_minus_one;
  if (e.method == Method::psa) {
    const Tensor state = sample_binary(a, st(), draw);
    return {PsaFunction::apply(state, a.detach(), flips ? std::optional(x) : std::nullopt,
                               weight.detach(), pm1, convolution()),
            a};
  }
  const Tensor state = sample_binary(a.detach(), st(), draw);
  if (e.method == Method::hard_st) return {HardStFunction::apply(state, a, pm1 ? 1.0 : 0.5), a};
  return {state, a};
}

LayerMoments StochasticBinaryLayerImpl::moments(const LayerMoments& below, Propagation rule,
                                                const std::optional<Key>& key) const {
  const Tensor a = preactivation(below.mean);
  const bool uses_variance = rule == Propagation::ap2 || rule == Propagation::local_reparam;
  const Tensor v = uses_variance && below.variance.defined() ? spread(below.variance) : Tensor();
  return unit_moments(a, v, rule, key, coding_);
}

uint64_t layer_offsets_used(const Estimator& e) {
  if (about(e.method).family == Family::pathwise) return binary_offsets_used(e);
  const bool draws = e.method != Method::exact && e.method != Method::ap1 &&
                     e.method != Method::ap2 && e.method != Method::tanh;
  return draws ? 1 : 0;
}

StochasticBinaryLinearImpl::StochasticBinaryLinearImpl(int64_t in, int64_t out, Coding coding)
    : StochasticBinaryLayerImpl(coding, {out, in}) {}

Tensor StochasticBinaryLinearImpl::preactivation(const Tensor& x) const {
  if (x.dim() < 1 || x.size(-1) != weight.size(1)) {
    throw InvalidInput("StochasticBinaryLinear: input must be [.., " +
                       std::to_string(weight.size(1)) + "], got " + shape_text(x.sizes()));
  }
  return at::linear(x, weight, bias);
}

Tensor StochasticBinaryLinearImpl::spread(const Tensor& variance) const {
  return at::linear(variance, weight.square());
}

StochasticBinaryConv2dImpl::StochasticBinaryConv2dImpl(int64_t in, int64_t out,
                                                       std::array<int64_t, 2> kernel,
                                                       const ConvOptions& options, Coding coding)
    : StochasticBinaryLayerImpl(
          coding, {out, in / std::max<int64_t>(1, options.groups), kernel[0], kernel[1]}),
      options_(options) {
  if (options.groups < 1 || in % options.groups != 0 || out % options.groups != 0) {
    throw InvalidInput("StochasticBinaryConv2d: groups must divide the " + std::to_string(in) +
                       " input and " + std::to_string(out) + " output channels, got " +
                       std::to_string(options.groups));
  }
}

Tensor StochasticBinaryConv2dImpl::convolve(const Tensor& x, const Tensor& w,
                                            const Tensor& b) const {
  return at::conv2d(x, w, b, options_.stride, options_.padding, options_.dilation, options_.groups);
}

Tensor StochasticBinaryConv2dImpl::preactivation(const Tensor& x) const {
  const int64_t channels = weight.size(1) * options_.groups;
  bool fits = x.dim() == 4 && x.size(1) == channels;
  for (size_t axis = 0; fits && axis < 2; ++axis) {
    const auto at = static_cast<int64_t>(axis) + 2;
    const int64_t reach = options_.dilation[axis] * (weight.size(at) - 1) + 1;
    fits = x.size(at) + 2 * options_.padding[axis] >= reach;
  }
  if (!fits) {
    throw InvalidInput("StochasticBinaryConv2d: input must be [B, " + std::to_string(channels) +
                       ", rows, columns] and hold the kernel of the weight " +
                       shape_text(weight.sizes()) + ", got " + shape_text(x.sizes()));
  }
  return convolve(x, weight, bias);
}

Tensor StochasticBinaryConv2dImpl::spread(const Tensor& variance) const {
  return convolve(variance, weight.square(), {});
}

}  // namespace gradthru::nn
