#include "gradthru/categorical.h"

#include "api/result_check.h"
#include "api/sampling_call.h"

namespace gradthru {

Sample sample(const at::Tensor& logits, const Estimator& estimator, const SampleOptions& options) {
  using Optional = std::optional<at::Tensor>;
  using Signature = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const Optional&, const Optional&, const Optional&, const Optional&,
      std::string_view, at::ArrayRef<double>, double, c10::SymInt, c10::SymInt, c10::SymInt,
      int64_t, std::optional<c10::SymInt>);
  static const auto op = find_op<Signature>("gradthru::sample");
  const SamplingCall call(estimator, options.key, options.generator,
                          offsets_used(estimator, options));
  auto [onehot, index] =
      op.call(logits, options.index, options.mask, options.tau_f, options.tau_b,
              name(estimator.method), call.numbers, options.uniform_mix, call.seed, call.offset,
              call.row0, options.dim, call.count(options.samples));
  const Sample drawn{onehot, index};
  if (options.check) check_result(drawn, logits, estimator, options);
  return drawn;
}

uint64_t offsets_used(const Estimator& estimator, const SampleOptions& options) {
  return offsets_of_call(estimator, options.index.has_value(), options.samples);
}

}  // namespace gradthru
