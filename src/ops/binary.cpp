// Operators of the binary (sigmoid) forms: schemas, checks, shape functions, autograd.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>
#include <string>
#include <vector>

#include "gradthru/estimator.h"
#include "ops/estimator_node.h"
#include "ops/options.h"

namespace gradthru::ops {
namespace {

using at::Tensor;
using c10::SymInt;
using Numbers = at::ArrayRef<double>;

using Optional = std::optional<Tensor>;

using SampleSignature = Tensor(const Tensor&, const Optional&, const Optional&, const Optional&,
                               std::string_view, Numbers, double, SymInt, SymInt, SymInt, bool,
                               std::optional<SymInt>);
using BackwardSignature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Optional&,
                                 const Optional&, Numbers, double, SymInt, SymInt, SymInt, bool,
                                 bool);

TORCH_LIBRARY_FRAGMENT(gradthru, m) {
  m.def(
      "sample_binary(Tensor logits, Tensor? given, Tensor? tau_f, Tensor? tau_b, str method, "
      "float[] params, float uniform_mix, SymInt seed, SymInt offset, SymInt row0, bool "
      "plus_minus_one, SymInt? samples) -> Tensor");
#define GRADTHRU_ESTIMATOR(name, ...)                                                         \
  m.def(#name                                                                                 \
        "_binary_backward(Tensor grad, Tensor logits, Tensor sample, Tensor? tau_f, Tensor? " \
        "tau_b, float[] params, float uniform_mix, SymInt seed, SymInt offset, SymInt row0, " \
        "bool plus_minus_one, bool given) -> Tensor");
#include "gradthru/estimators.def"
}

constexpr std::string_view kBackward = "_binary_backward";

const c10::TypedOperatorHandle<SampleSignature>& sample_op() {
  static const auto op = find_op<SampleSignature>("gradthru::sample_binary");
  return op;
}

const c10::TypedOperatorHandle<BackwardSignature>& backward_op(size_t position) {
  static const auto ops = find_backward_ops<BackwardSignature>(kBackward);
  return ops[position];
}

/// The arguments of `sample_binary` that are checked before anything is computed.
struct BinaryArguments {
  const Tensor& logits;
  const Optional& given;
  const Optional& tau_f;
  const Optional& tau_b;
  std::string_view method;
  Numbers params;
  double uniform_mix;
  const std::optional<SymInt>& samples;
};

std::vector<SymInt> checked_shape(const BinaryArguments& in) {
  const size_t position = method_position(in.method, "gradthru::sample_binary");
  const Tensor& logits = in.logits;
  const Optional& given = in.given;
  const auto sizes = logits.sym_sizes();
  check_dtype(logits, "sample_binary");
  check_options({"sample_binary", position, in.params, in.tau_f, in.tau_b, in.uniform_mix}, logits,
                sizes, /*categories=*/2);
  std::vector<SymInt> shape;
  if (in.samples) {
    TORCH_CHECK_VALUE(*in.samples >= 1, "sample_binary: samples must be >= 1, got ", *in.samples);
    shape.push_back(*in.samples);
  }
  shape.insert(shape.end(), sizes.begin(), sizes.end());
  if (given) {
    TORCH_CHECK_TYPE(given->scalar_type() == logits.scalar_type(),
                     "sample_binary: given must have dtype ", logits.scalar_type(),
                     " as the logits, got ", given->scalar_type());
    TORCH_CHECK_VALUE(
        given->sym_sizes() == sizes || given->sym_sizes() == c10::SymIntArrayRef(shape),
        "sample_binary: given must have the shape of the logits ", sizes, " or of the samples ",
        c10::SymIntArrayRef(shape), ", got ", given->sym_sizes());
  }
  return shape;
}

Tensor sample_meta(const Tensor& logits, const Optional& given, const Optional& tau_f,
                   const Optional& tau_b, std::string_view method, Numbers params,
                   double uniform_mix, SymInt, SymInt, SymInt, bool,
                   std::optional<SymInt> samples) {
  const auto shape =
      checked_shape({logits, given, tau_f, tau_b, method, params, uniform_mix, samples});
  return at::empty_symint(shape, logits.options());
}

Tensor backward_meta(const Tensor&, const Tensor& logits, const Tensor&, const Optional&,
                     const Optional&, Numbers, double, SymInt, SymInt, SymInt, bool, bool) {
  return at::empty_symint(logits.sym_sizes(), logits.options());
}

class BinaryBackward : public EstimatorNode {
 public:
  BinaryBackward(EstimatorCall call, const Tensor& logits, const OptionTensors& options,
                 bool plus_minus_one)
      : EstimatorNode(std::move(call), logits, options), plus_minus_one_(plus_minus_one) {}

  std::string name() const override { return backward_name(method(), kBackward); }

 protected:
  Tensor backward(const EstimatorCall& call, const Tensor& grad, const Tensor& logits,
                  const Tensor& sample, const OptionTensors& options) override {
    return backward_op(call.method)
        .call(grad, logits, sample, options.tau_f, options.tau_b, call.params, call.uniform_mix,
              call.seed, call.offset, call.row0, plus_minus_one_, call.given);
  }

 private:
  bool plus_minus_one_;
};

Tensor sample_autograd(const Tensor& logits, const Optional& given, const Optional& tau_f,
                       const Optional& tau_b, std::string_view method, Numbers params,
                       double uniform_mix, SymInt seed, SymInt offset, SymInt row0,
                       bool plus_minus_one, std::optional<SymInt> samples) {
  checked_shape({logits, given, tau_f, tau_b, method, params, uniform_mix, samples});
  refuse_forward_mode(logits, "gradthru::sample_binary");
  Tensor output = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return sample_op().call(logits, given, tau_f, tau_b, method, params, uniform_mix, seed, offset,
                            row0, plus_minus_one, samples);
  }();
  if (at::GradMode::is_enabled() && logits.requires_grad()) {
    auto node = make_node<BinaryBackward>(
        EstimatorCall{method_position(method, "gradthru::sample_binary"), params.vec(), uniform_mix,
                      seed, offset, row0, given.has_value()},
        logits, OptionTensors{std::nullopt, tau_f, tau_b}, plus_minus_one);
    set_history(output, node);
    // A detached alias: no reference back to the node, but the same version counter.
    static_cast<BinaryBackward&>(*node).save_sample(output.detach());
  }
  return output;
}

template <size_t position>
Tensor backward_autograd(const Tensor& grad, const Tensor& logits, const Tensor& sample,
                         const Optional& tau_f, const Optional& tau_b, Numbers params,
                         double uniform_mix, SymInt seed, SymInt offset, SymInt row0,
                         bool plus_minus_one, bool given) {
  auto result = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return backward_op(position).call(grad, logits, sample, tau_f, tau_b, params, uniform_mix,
                                      std::move(seed), std::move(offset), std::move(row0),
                                      plus_minus_one, given);
  }();
  refuse_second_order(result, {grad, logits}, backward_name(position, kBackward));
  return result;
}

TORCH_LIBRARY_IMPL(gradthru, Meta, m) {
  m.impl("sample_binary", &sample_meta);
#define GRADTHRU_ESTIMATOR(name, ...) m.impl(#name "_binary_backward", &backward_meta);
#include "gradthru/estimators.def"
}

TORCH_LIBRARY_IMPL(gradthru, Autograd, m) {
  m.impl("sample_binary", &sample_autograd);
#define GRADTHRU_ESTIMATOR(name, ...) \
  m.impl(#name "_binary_backward", &backward_autograd<static_cast<size_t>(Method::name)>);
#include "gradthru/estimators.def"
}

}  // namespace
}  // namespace gradthru::ops
