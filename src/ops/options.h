#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>

#include <optional>
#include <string_view>

namespace gradthru::ops {

/// The options that both families share, as an op receives them.
struct SharedOptions {
  std::string_view op;  // for messages: "sample"
  size_t method;        // position in the registry
  at::ArrayRef<double> params;
  const std::optional<at::Tensor>& tau_f;
  const std::optional<at::Tensor>& tau_b;
  double uniform_mix;
};

/// Refuses everything in `options` that is wrong whatever the data: no look at a tensor's values.
/// `rows` is the shape that a tensor of temperatures must be broadcastable to, `categories` the
/// number of values that may follow the parameters.
void check_options(const SharedOptions& options, const at::Tensor& logits, c10::SymIntArrayRef rows,
                   const c10::SymInt& categories);

void check_dtype(const at::Tensor& logits, std::string_view op);

void check_mask(const at::Tensor& mask, const at::Tensor& logits, std::string_view op);

}  // namespace gradthru::ops
