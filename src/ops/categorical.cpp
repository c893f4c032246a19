// Operators of the categorical family: schemas, checks, shape functions, autograd.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>
#include <string>
#include <tuple>
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

using SampleSignature = std::tuple<Tensor, Tensor>(const Tensor&, const Optional&, const Optional&,
                                                   const Optional&, const Optional&,
                                                   std::string_view, Numbers, double, SymInt,
                                                   SymInt, SymInt, int64_t, std::optional<SymInt>);
using IndexSignature = Tensor(const Tensor&, const Optional&, const Optional&, const Optional&,
                              const Optional&, std::string_view, Numbers, double, SymInt, SymInt,
                              SymInt, int64_t, std::optional<SymInt>);
using BackwardSignature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Optional&,
                                 const Optional&, const Optional&, Numbers, double, SymInt, SymInt,
                                 SymInt, int64_t, bool);

// One library fragment declares the schemas of both families; binary.cpp adds its own.
TORCH_LIBRARY_FRAGMENT(gradthru, m) {
  m.def(
      "sample(Tensor logits, Tensor? index, Tensor? mask, Tensor? tau_f, Tensor? tau_b, str "
      "method, "
      "float[] params, float uniform_mix, SymInt seed, SymInt offset, SymInt row0, int dim, "
      "SymInt? samples) -> (Tensor, Tensor)");
  // The index alone, without a gradient; -1 for an invalid row, -2 for one that was skipped or has
  // no category.
  m.def(
      "sample_index(Tensor logits, Tensor? index, Tensor? mask, Tensor? tau_f, Tensor? tau_b, str "
      "method, "
      "float[] params, float uniform_mix, SymInt seed, SymInt offset, SymInt row0, int dim, "
      "SymInt? samples) -> Tensor");
#define GRADTHRU_ESTIMATOR(name, ...)                                                           \
  m.def(#name                                                                                   \
        "_backward(Tensor grad, Tensor logits, Tensor index, Tensor? mask, Tensor? tau_f, "     \
        "Tensor? tau_b, float[] params, float uniform_mix, SymInt seed, SymInt offset, SymInt " \
        "row0, int dim, bool given) -> Tensor");
#include "gradthru/estimators.def"
}

constexpr std::string_view kBackward = "_backward";

const c10::TypedOperatorHandle<SampleSignature>& sample_op() {
  static const auto op = find_op<SampleSignature>("gradthru::sample");
  return op;
}

const c10::TypedOperatorHandle<IndexSignature>& index_op() {
  static const auto op = find_op<IndexSignature>("gradthru::sample_index");
  return op;
}

const c10::TypedOperatorHandle<BackwardSignature>& backward_op(size_t position) {
  static const auto ops = find_backward_ops<BackwardSignature>(kBackward);
  return ops[position];
}

int64_t checked_dim(const Tensor& logits, int64_t dim) {
  TORCH_CHECK_VALUE(logits.dim() > 0, "sample: logits must have at least one dimension, got 0");
  TORCH_CHECK_INDEX(dim >= -logits.dim() && dim < logits.dim(), "sample: dim must be in [",
                    -logits.dim(), ", ", logits.dim() - 1, "], got ", dim);
  return dim < 0 ? dim + logits.dim() : dim;
}

void check_logits(const Tensor& logits, int64_t axis) {
  check_dtype(logits, "sample");
  if (logits.sym_size(axis) != 0) return;
  for (int64_t d = 0; d < logits.dim(); ++d) {
    // Without rows there is nothing to choose; with rows there must be a category.
    if (d != axis && logits.sym_size(d) == 0) return;
  }
  TORCH_CHECK_VALUE(false, "sample: logits must have at least one category along dim, got 0");
}

struct Shapes {
  std::vector<SymInt> value, index;
};

/// The arguments of `sample` that are checked before anything is computed.
struct SampleArguments {
  const Tensor& logits;
  const Optional& given;
  const Optional& mask;
  const Optional& tau_f;
  const Optional& tau_b;
  std::string_view method;
  Numbers params;
  double uniform_mix;
  int64_t dim;
  const std::optional<SymInt>& samples;
};

/// Checks every argument and gives the shapes of the outputs: the same for every device and for
/// tensors without data.
Shapes checked_shapes(const SampleArguments& in) {
  const size_t position = method_position(in.method, "gradthru::sample");
  const Tensor& logits = in.logits;
  const Optional& given = in.given;
  const int64_t axis = checked_dim(logits, in.dim);
  check_logits(logits, axis);
  if (in.mask) check_mask(*in.mask, logits, "sample");
  Shapes shapes;
  std::vector<SymInt> rows;
  for (int64_t d = 0; d < logits.dim(); ++d) {
    if (d != axis) rows.push_back(logits.sym_size(d));
  }
  check_options({"sample", position, in.params, in.tau_f, in.tau_b, in.uniform_mix}, logits, rows,
                logits.sym_size(axis));
  if (in.samples) {
    TORCH_CHECK_VALUE(*in.samples >= 1, "sample: samples must be >= 1, got ", *in.samples);
    shapes.value.push_back(*in.samples);
  }
  shapes.index = shapes.value;
  shapes.index.insert(shapes.index.end(), rows.begin(), rows.end());
  const auto sizes = logits.sym_sizes();
  shapes.value.insert(shapes.value.end(), sizes.begin(), sizes.end());
  if (given) {
    TORCH_CHECK_TYPE(given->scalar_type() == at::kLong, "sample: index must be int64, got ",
                     given->scalar_type());
    const auto got = given->sym_sizes();
    TORCH_CHECK_VALUE(got == c10::SymIntArrayRef(rows) || got == c10::SymIntArrayRef(shapes.index),
                      "sample: index must have the shape of the rows ", c10::SymIntArrayRef(rows),
                      " or of the samples ", c10::SymIntArrayRef(shapes.index), ", got ", got);
  }
  return shapes;
}

std::tuple<Tensor, Tensor> sample_meta(const Tensor& logits, const Optional& given,
                                       const Optional& mask, const Optional& tau_f,
                                       const Optional& tau_b, std::string_view method,
                                       Numbers params, double uniform_mix, SymInt, SymInt, SymInt,
                                       int64_t dim, std::optional<SymInt> samples) {
  const Shapes shapes = checked_shapes(
      {logits, given, mask, tau_f, tau_b, method, params, uniform_mix, dim, samples});
  return {at::empty_symint(shapes.value, logits.options()),
          at::empty_symint(shapes.index, logits.options().dtype(at::kLong))};
}

Tensor index_meta(const Tensor& logits, const Optional& given, const Optional& mask,
                  const Optional& tau_f, const Optional& tau_b, std::string_view method,
                  Numbers params, double uniform_mix, SymInt, SymInt, SymInt, int64_t dim,
                  std::optional<SymInt> samples) {
  const Shapes shapes = checked_shapes(
      {logits, given, mask, tau_f, tau_b, method, params, uniform_mix, dim, samples});
  return at::empty_symint(shapes.index, logits.options().dtype(at::kLong));
}

Tensor backward_meta(const Tensor&, const Tensor& logits, const Tensor&, const Optional&,
                     const Optional&, const Optional&, Numbers, double, SymInt, SymInt, SymInt,
                     int64_t, bool) {
  return at::empty_symint(logits.sym_sizes(), logits.options());
}

class SampleBackward : public EstimatorNode {
 public:
  SampleBackward(EstimatorCall call, const Tensor& logits, const OptionTensors& options,
                 int64_t dim)
      : EstimatorNode(std::move(call), logits, options), dim_(dim) {}

  std::string name() const override { return backward_name(method(), kBackward); }

 protected:
  Tensor backward(const EstimatorCall& call, const Tensor& grad, const Tensor& logits,
                  const Tensor& index, const OptionTensors& options) override {
    return backward_op(call.method)
        .call(grad, logits, index, options.mask, options.tau_f, options.tau_b, call.params,
              call.uniform_mix, call.seed, call.offset, call.row0, dim_, call.given);
  }

 private:
  int64_t dim_;
};

std::tuple<Tensor, Tensor> sample_autograd(const Tensor& logits, const Optional& given,
                                           const Optional& mask, const Optional& tau_f,
                                           const Optional& tau_b, std::string_view method,
                                           Numbers params, double uniform_mix, SymInt seed,
                                           SymInt offset, SymInt row0, int64_t dim,
                                           std::optional<SymInt> samples) {
  checked_shapes({logits, given, mask, tau_f, tau_b, method, params, uniform_mix, dim, samples});
  refuse_forward_mode(logits, "gradthru::sample");
  auto outputs = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return sample_op().call(logits, given, mask, tau_f, tau_b, method, params, uniform_mix, seed,
                            offset, row0, dim, samples);
  }();
  if (at::GradMode::is_enabled() && logits.requires_grad()) {
    auto node = make_node<SampleBackward>(
        EstimatorCall{method_position(method, "gradthru::sample"), params.vec(), uniform_mix, seed,
                      offset, row0, given.has_value()},
        logits, OptionTensors{mask, tau_f, tau_b}, dim);
    static_cast<SampleBackward&>(*node).save_sample(given ? *given : std::get<1>(outputs));
    set_history(std::get<0>(outputs), node);
  }
  return outputs;
}

Tensor index_autograd(const Tensor& logits, const Optional& given, const Optional& mask,
                      const Optional& tau_f, const Optional& tau_b, std::string_view method,
                      Numbers params, double uniform_mix, SymInt seed, SymInt offset, SymInt row0,
                      int64_t dim, std::optional<SymInt> samples) {
  checked_shapes({logits, given, mask, tau_f, tau_b, method, params, uniform_mix, dim, samples});
  at::AutoDispatchBelowADInplaceOrView guard;
  return index_op().call(logits, given, mask, tau_f, tau_b, method, params, uniform_mix,
                         std::move(seed), std::move(offset), std::move(row0), dim,
                         std::move(samples));
}

template <size_t position>
Tensor backward_autograd(const Tensor& grad, const Tensor& logits, const Tensor& index,
                         const Optional& mask, const Optional& tau_f, const Optional& tau_b,
                         Numbers params, double uniform_mix, SymInt seed, SymInt offset,
                         SymInt row0, int64_t dim, bool given) {
  auto result = [&] {
    at::AutoDispatchBelowADInplaceOrView guard;
    return backward_op(position).call(grad, logits, index, mask, tau_f, tau_b, params, uniform_mix,
                                      std::move(seed), std::move(offset), std::move(row0), dim,
                                      given);
  }();
  refuse_second_order(result, {grad, logits}, backward_name(position, kBackward));
  return result;
}

TORCH_LIBRARY_IMPL(gradthru, Meta, m) {
  m.impl("sample", &sample_meta);
  m.impl("sample_index", &index_meta);
#define GRADTHRU_ESTIMATOR(name, ...) m.impl(#name "_backward", &backward_meta);
#include "gradthru/estimators.def"
}

TORCH_LIBRARY_IMPL(gradthru, Autograd, m) {
  m.impl("sample", &sample_autograd);
  m.impl("sample_index", &index_autograd);
#define GRADTHRU_ESTIMATOR(name, ...) \
  m.impl(#name "_backward", &backward_autograd<static_cast<size_t>(Method::name)>);
#include "gradthru/estimators.def"
}

}  // namespace
}  // namespace gradthru::ops
