// Operators of logic gates: schemas, checks, shape functions, autograd.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <mutex>
#include <tuple>

#include "ops/autograd.h"
#include "ops/method_ops.h"

namespace gradthru::ops {
namespace {

using at::Tensor;

using GatesSignature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&);
using BackwardSignature = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                                     const Tensor&, const Tensor&);

// Inputs x [in, B], wiring int64 [N], coefficients [N, 4] of c0 + c1 a + c2 b + c3 a b; gates [N,
// B].
TORCH_LIBRARY_FRAGMENT(gradthru, m) {
  m.def("logic_gates(Tensor x, Tensor left, Tensor right, Tensor coefficients) -> Tensor");
  m.def(
      "logic_gates_backward(Tensor grad, Tensor x, Tensor left, Tensor right, Tensor coefficients) "
      "-> (Tensor, Tensor)");
}

void check(const Tensor& x, const Tensor& left, const Tensor& right, const Tensor& coefficients) {
  const auto type = x.scalar_type();
  TORCH_CHECK_TYPE(type == at::kFloat || type == at::kDouble,
                   "logic_gates: x must be float32 or float64, got ", type);
  TORCH_CHECK_TYPE(coefficients.scalar_type() == type, "logic_gates: coefficients must have dtype ",
                   type, " as x, got ", coefficients.scalar_type());
  TORCH_CHECK_TYPE(left.scalar_type() == at::kLong && right.scalar_type() == at::kLong,
                   "logic_gates: left and right must be int64, got ", left.scalar_type(), " and ",
                   right.scalar_type());
  TORCH_CHECK_VALUE(x.dim() == 2, "logic_gates: x must be [in, batch], got ", x.sym_sizes());
  TORCH_CHECK_VALUE(left.dim() == 1 && right.sym_sizes() == left.sym_sizes(),
                    "logic_gates: left and right must both be [gates], got ", left.sym_sizes(),
                    " and ", right.sym_sizes());
  const c10::SymInt wanted[] = {left.sym_size(0), 4};
  TORCH_CHECK_VALUE(coefficients.sym_sizes() == c10::SymIntArrayRef(wanted),
                    "logic_gates: coefficients must be [gates, 4] for ", left.sym_size(0),
                    " gates, got ", coefficients.sym_sizes());
}

Tensor gates_meta(const Tensor& x, const Tensor& left, const Tensor& right,
                  const Tensor& coefficients) {
  check(x, left, right, coefficients);
  return at::empty_symint({left.sym_size(0), x.sym_size(1)}, x.options());
}

std::tuple<Tensor, Tensor> backward_meta(const Tensor&, const Tensor& x, const Tensor&,
                                         const Tensor&, const Tensor& coefficients) {
  return {at::empty_symint(x.sym_sizes(), x.options()),
          at::empty_symint(coefficients.sym_sizes(), x.options())};
}

class GatesBackward : public torch::autograd::Node {
 public:
  GatesBackward(const Tensor& x, const Tensor& left, const Tensor& right,
                const Tensor& coefficients) {
    set_next_edges(torch::autograd::collect_next_edges(x, coefficients));
    x_ = torch::autograd::SavedVariable(x, /*is_output=*/false);
    left_ = torch::autograd::SavedVariable(left, /*is_output=*/false);
    right_ = torch::autograd::SavedVariable(right, /*is_output=*/false);
    coefficients_ = torch::autograd::SavedVariable(coefficients, /*is_output=*/false);
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    static const auto op = find_op<BackwardSignature>("gradthru::logic_gates_backward");
    std::lock_guard<std::mutex> lock(mutex_);
    if (!grads[0].defined()) return {Tensor(), Tensor()};
    const auto [x, c] =
        op.call(grads[0], x_.unpack(), left_.unpack(), right_.unpack(), coefficients_.unpack());
    return {x, c};
  }

  void release_variables() override {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto* saved : {&x_, &left_, &right_, &coefficients_}) saved->reset_data();
  }

  std::string name() const override { return "gradthru::logic_gates_backward"; }

 private:
  torch::autograd::SavedVariable x_, left_, right_, coefficients_;
};

Tensor gates_autograd(const Tensor& x, const Tensor& left, const Tensor& right,
                      const Tensor& coefficients) {
  static const auto op = find_op<GatesSignature>("gradthru::logic_gates");
  check(x, left, right, coefficients);
  refuse_forward_mode(x, "gradthru::logic_gates");
  refuse_forward_mode(coefficients, "gradthru::logic_gates");
  Tensor result = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(x, left, right, coefficients);
  }();
  if (at::GradMode::is_enabled() && (x.requires_grad() || coefficients.requires_grad())) {
    set_history(result, make_node<GatesBackward>(x, left, right, coefficients));
  }
  return result;
}

std::tuple<Tensor, Tensor> backward_autograd(const Tensor& grad, const Tensor& x,
                                             const Tensor& left, const Tensor& right,
                                             const Tensor& coefficients) {
  static const auto op = find_op<BackwardSignature>("gradthru::logic_gates_backward");
  auto result = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(grad, x, left, right, coefficients);
  }();
  for (const Tensor& gradient : {std::get<0>(result), std::get<1>(result)}) {
    refuse_second_order(gradient, {grad, x, coefficients}, "gradthru::logic_gates_backward");
  }
  return result;
}

TORCH_LIBRARY_IMPL(gradthru, Meta, m) {
  m.impl("logic_gates", &gates_meta);
  m.impl("logic_gates_backward", &backward_meta);
}

TORCH_LIBRARY_IMPL(gradthru, Autograd, m) {
  m.impl("logic_gates", &gates_autograd);
  m.impl("logic_gates_backward", &backward_autograd);
}

}  // namespace
}  // namespace gradthru::ops
