// The two halves of an expectation as operators: each is a function of (logits, spec, key), so that
// nothing has to be kept between them. Autograd passes through what they are made of.
#include "gradthru/expectation.h"

#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <optional>
#include <string>

namespace gradthru::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

/// The coding: none for categorical variables, else whether it is ±1.
Evaluation evaluation(const Tensor& logits, const std::string& spec, std::optional<bool> binary,
                      int64_t samples, const Optional& baseline, double decay, const Key& key) {
  const ExpectationOptions options{
      .samples = samples, .baseline = baseline, .decay = decay, .key = key};
  const Estimator e = parse_estimator(spec);
  if (!binary) return {logits, e, options};
  return {logits, e, *binary ? Coding::plus_minus_one : Coding::zero_one, options};
}

Key key_of(const c10::SymInt& seed, const c10::SymInt& offset, const c10::SymInt& row0) {
  return {static_cast<uint64_t>(seed.guard_int(__FILE__, __LINE__)),
          static_cast<uint64_t>(offset.guard_int(__FILE__, __LINE__)),
          row0.guard_int(__FILE__, __LINE__)};
}

Tensor points(const Tensor& logits, std::string_view spec, std::optional<bool> plus_minus_one,
              int64_t samples, const Optional& baseline, c10::SymInt seed, c10::SymInt offset,
              c10::SymInt row0) {
  return evaluation(logits, std::string(spec), plus_minus_one, samples, baseline, 0.9,
                    key_of(seed, offset, row0))
      .points();
}

Tensor combine(const Tensor& values, const Tensor& logits, std::string_view spec,
               std::optional<bool> plus_minus_one, int64_t samples, const Optional& baseline,
               double decay, c10::SymInt seed, c10::SymInt offset, c10::SymInt row0) {
  return evaluation(logits, std::string(spec), plus_minus_one, samples, baseline, decay,
                    key_of(seed, offset, row0))
      .combine(values);
}

int64_t offsets_used(const std::string& spec, int64_t samples) {
  const ExpectationOptions options{.samples = samples};
  return static_cast<int64_t>(expectation_offsets_used(parse_estimator(spec), options));
}

TORCH_LIBRARY_FRAGMENT(gradthru, m) {
  m.def(
      "expectation_points(Tensor logits, str spec, bool? plus_minus_one, int samples, Tensor? "
      "baseline, SymInt seed, SymInt offset, SymInt row0) -> Tensor",
      &points);
  m.def(
      "expectation_combine(Tensor values, Tensor logits, str spec, bool? plus_minus_one, int "
      "samples, Tensor? baseline, float decay, SymInt seed, SymInt offset, SymInt row0) -> Tensor",
      &combine);
  m.def("expectation_offsets_used(str spec, int samples) -> int", &offsets_used);
}

}  // namespace
}  // namespace gradthru::ops
