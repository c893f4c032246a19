// Operators of path-sample-analytic (PSA) layers: schemas, checks, shape functions, refusal of a
// second derivative. They are backward operators: nothing differentiates them.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <string>
#include <vector>

#include "ops/autograd.h"
#include "ops/method_ops.h"

namespace gradthru::ops {
namespace {

using at::Tensor;
using c10::SymInt;
using Sizes = c10::SymIntArrayRef;

using LinearSignature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                               const Tensor&, bool);
using ConvSignature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                             const Tensor&, bool, Sizes, Sizes, Sizes, SymInt);

TORCH_LIBRARY_FRAGMENT(gradthru, m) {
  m.def(
      "psa_linear(Tensor flip_grad, Tensor preactivation, Tensor state, Tensor weight, Tensor "
      "input, bool plus_minus_one) -> Tensor");
  m.def(
      "psa_conv2d(Tensor flip_grad, Tensor preactivation, Tensor state, Tensor weight, Tensor "
      "input, bool plus_minus_one, SymInt[2] stride, SymInt[2] padding, SymInt[2] dilation, SymInt "
      "groups) -> Tensor");
}

struct LayerArguments {
  const char* op;
  const Tensor& flip_grad;
  const Tensor& preactivation;
  const Tensor& state;
  const Tensor& weight;
  const Tensor& input;
};

void check_tensors(const LayerArguments& in) {
  const auto type = in.preactivation.scalar_type();
  TORCH_CHECK_TYPE(type == at::kFloat || type == at::kDouble, in.op,
                   ": preactivation must be float32 or float64, got ", type);
  const auto check_like = [&](const char* name, const Tensor& t) {
    TORCH_CHECK_TYPE(t.scalar_type() == type, in.op, ": ", name, " must have dtype ", type,
                     " as the preactivation, got ", t.scalar_type());
    TORCH_CHECK_VALUE(t.device() == in.preactivation.device(), in.op, ": ", name, " must be on ",
                      in.preactivation.device(), " as the preactivation, got ", t.device());
  };
  check_like("flip_grad", in.flip_grad);
  check_like("state", in.state);
  check_like("weight", in.weight);
  check_like("input", in.input);
  const auto sizes = in.preactivation.sym_sizes();
  TORCH_CHECK_VALUE(in.flip_grad.sym_sizes() == sizes, in.op,
                    ": flip_grad must have the shape of the preactivation ", sizes, ", got ",
                    in.flip_grad.sym_sizes());
  TORCH_CHECK_VALUE(in.state.sym_sizes() == sizes, in.op,
                    ": state must have the shape of the preactivation ", sizes, ", got ",
                    in.state.sym_sizes());
}

void check_linear(const LayerArguments& in) {
  check_tensors(in);
  const auto weight = in.weight.sym_sizes();
  TORCH_CHECK_VALUE(weight.size() == 2, in.op, ": weight must be [out, in], got shape ", weight);
  const auto sizes = in.preactivation.sym_sizes();
  TORCH_CHECK_VALUE(!sizes.empty() && sizes.back() == weight[0], in.op,
                    ": preactivation must be [..., ", weight[0], "] for a weight of shape ", weight,
                    ", got ", sizes);
  std::vector<SymInt> wanted(sizes.begin(), sizes.end() - 1);
  wanted.push_back(weight[1]);
  TORCH_CHECK_VALUE(in.input.sym_sizes() == Sizes(wanted), in.op, ": input must have shape ",
                    Sizes(wanted), ", got ", in.input.sym_sizes());
}

void check_geometry(const char* op, const char* name, Sizes pair, int least) {
  TORCH_CHECK_VALUE(pair.size() == 2 && pair[0] >= least && pair[1] >= least, op, ": ", name,
                    " must be two numbers >= ", least, ", got ", pair);
}

void check_conv2d(const LayerArguments& in, Sizes stride, Sizes padding, Sizes dilation,
                  const SymInt& groups) {
  check_tensors(in);
  check_geometry(in.op, "stride", stride, 1);
  check_geometry(in.op, "padding", padding, 0);
  check_geometry(in.op, "dilation", dilation, 1);
  const auto weight = in.weight.sym_sizes(), input = in.input.sym_sizes();
  TORCH_CHECK_VALUE(weight.size() == 4 && weight[2] >= 1 && weight[3] >= 1, in.op,
                    ": weight must be [out, in / groups, rows, columns], got shape ", weight);
  TORCH_CHECK_VALUE(groups >= 1 && weight[0] % groups == 0, in.op,
                    ": groups must be >= 1 and divide the ", weight[0], " output channels, got ",
                    groups);
  TORCH_CHECK_VALUE(input.size() == 4 && input[1] == weight[1] * groups, in.op,
                    ": input must be [batch, ", weight[1] * groups,
                    ", rows, columns] for a weight of shape ", weight, " in ", groups,
                    " groups, got ", input);
  std::vector<SymInt> wanted = {input[0], weight[0]};
  for (size_t axis = 0; axis < 2; ++axis) {
    const SymInt room =
        input[2 + axis] + padding[axis] * 2 - dilation[axis] * (weight[2 + axis] - 1) - 1;
    TORCH_CHECK_VALUE(room >= 0, in.op, ": the kernel does not fit into input of shape ", input,
                      " with padding ", padding, " and dilation ", dilation);
    wanted.push_back(room / stride[axis] + 1);
  }
  TORCH_CHECK_VALUE(in.preactivation.sym_sizes() == Sizes(wanted), in.op,
                    ": preactivation must have shape ", Sizes(wanted), " for input of shape ",
                    input, ", got ", in.preactivation.sym_sizes());
}

Tensor empty_like_input(const Tensor& input) {
  return at::empty_symint(input.sym_sizes(), input.options(), input.suggest_memory_format());
}

Tensor linear_meta(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                   const Tensor& weight, const Tensor& input, bool) {
  check_linear({"psa_linear", flip_grad, preactivation, state, weight, input});
  return at::empty_symint(input.sym_sizes(), input.options());
}

Tensor conv2d_meta(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                   const Tensor& weight, const Tensor& input, bool, Sizes stride, Sizes padding,
                   Sizes dilation, SymInt groups) {
  check_conv2d({"psa_conv2d", flip_grad, preactivation, state, weight, input}, stride, padding,
               dilation, groups);
  return empty_like_input(input);
}

Tensor linear_autograd(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                       const Tensor& weight, const Tensor& input, bool plus_minus_one) {
  static const auto op = find_op<LinearSignature>("gradthru::psa_linear");
  check_linear({"psa_linear", flip_grad, preactivation, state, weight, input});
  auto result = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(flip_grad, preactivation, state, weight, input, plus_minus_one);
  }();
  refuse_second_order(result, {flip_grad, preactivation, state, weight, input},
                      "gradthru::psa_linear");
  return result;
}

Tensor conv2d_autograd(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                       const Tensor& weight, const Tensor& input, bool plus_minus_one, Sizes stride,
                       Sizes padding, Sizes dilation, SymInt groups) {
  static const auto op = find_op<ConvSignature>("gradthru::psa_conv2d");
  check_conv2d({"psa_conv2d", flip_grad, preactivation, state, weight, input}, stride, padding,
               dilation, groups);
  auto result = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(flip_grad, preactivation, state, weight, input, plus_minus_one, stride, padding,
                   dilation, groups);
  }();
  refuse_second_order(result, {flip_grad, preactivation, state, weight, input},
                      "gradthru::psa_conv2d");
  return result;
}

TORCH_LIBRARY_IMPL(gradthru, Meta, m) {
  m.impl("psa_linear", &linear_meta);
  m.impl("psa_conv2d", &conv2d_meta);
}

TORCH_LIBRARY_IMPL(gradthru, Autograd, m) {
  m.impl("psa_linear", &linear_autograd);
  m.impl("psa_conv2d", &conv2d_autograd);
}

}  // namespace
}  // namespace gradthru::ops
