#include "gradthru/psa.h"

#include "api/sampling_call.h"

namespace gradthru {

using at::Tensor;

Tensor psa_linear(const PsaUnits& units, const Tensor& weight, const Tensor& input, Coding coding) {
  using Signature =
      Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, bool);
  static const auto op = find_op<Signature>("gradthru::psa_linear");
  return op.call(units.flip_grad, units.preactivation, units.state, weight, input,
                 coding == Coding::plus_minus_one);
}

Tensor psa_conv2d(const PsaUnits& units, const Tensor& weight, const Tensor& input, Coding coding,
                  const ConvOptions& options) {
  using Sizes = c10::SymIntArrayRef;
  using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                           const Tensor&, bool, Sizes, Sizes, Sizes, c10::SymInt);
  static const auto op = find_op<Signature>("gradthru::psa_conv2d");
  const auto pair = [](const std::array<int64_t, 2>& numbers) {
    return std::array<c10::SymInt, 2>{numbers[0], numbers[1]};
  };
  return op.call(units.flip_grad, units.preactivation, units.state, weight, input,
                 coding == Coding::plus_minus_one, pair(options.stride), pair(options.padding),
                 pair(options.dilation), options.groups);
}

}  // namespace gradthru
