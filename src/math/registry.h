#pragma once

#include <cstdint>
#include <string_view>

#include "math/row.h"
#include "row_functions.h"

namespace gradthru::math {

/// How a method draws its index; `conditional` draws like `uniform` and then needs Gumbels given
/// it.
enum class Draw { uniform, gumbel, conditional };

/// What the drivers must know of a method, from the registry.
struct MethodFacts {
  std::string_view name;
  Draw draw;
  uint64_t offsets;  // used by one sample
};

/// Facts of the method called `name` with parameters e; a null name if there is none.
inline MethodFacts facts_of(std::string_view name, const Params& e, bool given) {
#define GRADTHRU_ESTIMATOR(method, draw, parameters, positional, exact, offsets, ...) \
  if (name == #method) {                                                              \
    const bool extra = given && Draw::draw == Draw::gumbel;                           \
    return {                                                                          \
      #method, Draw::draw, static_cast<uint64_t>(offsets) + (extra ? 1 : 0)           \
    };                                                                                \
  }
#include "gradthru/estimators.def"
  static_cast<void>(e);
  return {};
}

}  // namespace gradthru::math
