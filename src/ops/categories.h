#pragma once

#include <c10/core/SymInt.h>

#include <algorithm>
#include <string_view>

#include "ops/method_ops.h"

namespace gradthru::ops {

/// The backward of mve solves a dense system for each row.
inline constexpr int64_t kMveCategories = 1024;

/// Refuses a number of categories K that the method at this position of the registry cannot take:
/// `params` is how many numbers arrived, one for each category among them if it takes `values`.
inline void check_categories(size_t position, size_t params, const c10::SymInt& K,
                             std::string_view op) {
  const Method method = methods()[position];
  const auto keys = about(method).parameters;
  const bool takes_values = std::find(keys.begin(), keys.end(), "values") != keys.end();
  TORCH_CHECK_VALUE(params == kParameterCount || (takes_values && params > kParameterCount), op,
                    ": params must have ", kParameterCount, " numbers, got ", params);
  const auto values = static_cast<int64_t>(params - kParameterCount);
  TORCH_CHECK_VALUE(!takes_values || K == values, op, ": ", name(method),
                    ": values must have one number for each of the ", K, " categories, got ",
                    values);
  TORCH_CHECK_VALUE(method != Method::mve || K <= kMveCategories, op,
                    ": mve solves a system of K equations for each row and takes at most ",
                    kMveCategories, " categories, got ", K);
}

}  // namespace gradthru::ops
