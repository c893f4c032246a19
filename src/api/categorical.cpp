#include "gradthru/categorical.h"

#include <ATen/ops/clamp_min.h>

#include "api/result_check.h"
#include "api/sampling_call.h"

namespace gradthru {
namespace {

using Optional = std::optional<at::Tensor>;

/// An op with the arguments of `sample`, called with them.
template <class Result>
Result call(const char* name_of_op, const at::Tensor& logits, const Estimator& estimator,
            const SampleOptions& options) {
  using Signature =
      Result(const at::Tensor&, const Optional&, const Optional&, const Optional&, const Optional&,
             std::string_view, at::ArrayRef<double>, double, c10::SymInt, c10::SymInt, c10::SymInt,
             int64_t, std::optional<c10::SymInt>);
  static const auto op = find_op<Signature>(name_of_op);
  const SamplingCall call(estimator, options.key, options.generator,
                          offsets_used(estimator, options));
  return op.call(logits, options.index, options.mask, options.tau_f, options.tau_b,
                 name(estimator.method), call.numbers, options.uniform_mix, call.seed, call.offset,
                 call.row0, options.dim, call.count(options.samples));
}

}  // namespace

Sample sample(const at::Tensor& logits, const Estimator& estimator, const SampleOptions& options) {
  auto [onehot, index] =
      call<std::tuple<at::Tensor, at::Tensor>>("gradthru::sample", logits, estimator, options);
  const Sample drawn{onehot, index};
  if (options.check) check_result(drawn, logits, estimator, options);
  return drawn;
}

at::Tensor sample_index(const at::Tensor& logits, const Estimator& estimator,
                        const SampleOptions& options) {
  const Sample drawn{
      {},
      at::clamp_min(call<at::Tensor>("gradthru::sample_index", logits, estimator, options), -1)};
  if (options.check) check_result(drawn, logits, estimator, options);
  return drawn.index;
}

uint64_t offsets_used(const Estimator& estimator, const SampleOptions& options) {
  return offsets_of_call(estimator, options.index.has_value(), options.samples);
}

}  // namespace gradthru
