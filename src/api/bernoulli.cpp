#include "gradthru/bernoulli.h"

#include "api/result_check.h"
#include "api/sampling_call.h"

namespace gradthru {

at::Tensor sample_binary(const at::Tensor& logits, const Estimator& estimator,
                         const BinaryOptions& options) {
  using Optional = std::optional<at::Tensor>;
  using Signature = at::Tensor(const at::Tensor&, const Optional&, const Optional&, const Optional&,
                               std::string_view, at::ArrayRef<double>, double, c10::SymInt,
                               c10::SymInt, c10::SymInt, bool, std::optional<c10::SymInt>);
  static const auto op = find_op<Signature>("gradthru::sample_binary");
  const SamplingCall call(estimator, options.key, options.generator,
                          binary_offsets_used(estimator, options));
  at::Tensor value =
      op.call(logits, options.given, options.tau_f, options.tau_b, name(estimator.method),
              call.numbers, options.uniform_mix, call.seed, call.offset, call.row0,
              options.coding == Coding::plus_minus_one, call.count(options.samples));
  if (options.check) check_result(value, logits, estimator, options);
  return value;
}

uint64_t binary_offsets_used(const Estimator& estimator, const BinaryOptions& options) {
  return offsets_of_call(estimator, options.given.has_value(), options.samples);
}

}  // namespace gradthru
