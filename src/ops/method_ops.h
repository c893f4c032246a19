#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <string>
#include <string_view>
#include <vector>

#include "gradthru/estimator.h"

namespace gradthru::ops {

/// Position of the name of a method that samples: the pathwise ones come first in the registry.
inline size_t method_position(std::string_view method, std::string_view op) {
  const auto& all = methods(Family::pathwise);
  for (size_t i = 0; i < all.size(); ++i) {
    if (name(all[i]) == method) return i;
  }
  TORCH_CHECK_VALUE(false, op, ": unknown method '", method, "'");
}

/// The name of a method's backward op: `gradthru::reinmax_backward`.
inline std::string backward_name(size_t position, std::string_view suffix) {
  return "gradthru::" + std::string(name(methods()[position])) + std::string(suffix);
}

/// The operator called `name`, ready to be called.
template <class Signature>
c10::TypedOperatorHandle<Signature> find_op(const std::string& name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), "").typed<Signature>();
}

/// The backward ops of all methods that sample, in the registry's order.
template <class Signature>
std::vector<c10::TypedOperatorHandle<Signature>> find_backward_ops(std::string_view suffix) {
  std::vector<c10::TypedOperatorHandle<Signature>> ops;
  for (size_t i = 0; i < methods(Family::pathwise).size(); ++i) {
    ops.push_back(find_op<Signature>(backward_name(i, suffix)));
  }
  return ops;
}

}  // namespace gradthru::ops
