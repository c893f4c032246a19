#pragma once

#include <cstdint>
#include <string_view>

#include "math/row.h"
#include "row_functions.h"

namespace gradthru::math {

/// How a method draws its index; `conditional` draws like `uniform` and then needs Gumbels given
/// it.
enum class Draw { uniform, gumbel, conditional };

// Every rule with its name in the registry, as a type that the drivers are instantiated with.
#define GRADTHRU_ESTIMATOR(name, ...)                \
  struct name##_entry {                              \
    using Rule = name;                               \
    static constexpr std::string_view kName = #name; \
  };
#include "gradthru/estimators.def"

/// Places in the registry.
enum class MethodPosition {
#define GRADTHRU_ESTIMATOR(name, ...) name,
#include "gradthru/estimators.def"
};

/// What the drivers must know of a method, from the registry.
struct MethodFacts {
  std::string_view name;
  Draw draw;
  uint64_t offsets;  // used by one sample
  bool takes_values;

  /// Whether `size` numbers can be the method's parameters for K categories.
  bool accepts(size_t size, int64_t K) const {
    return static_cast<int64_t>(size) == Params::count + (takes_values ? K : 0);
  }
};

/// A given sample makes the Gumbels of a Gumbel-argmax method conditional: one more offset.
inline MethodFacts facts(std::string_view name, Draw draw, std::string_view parameters,
                         uint64_t offsets, bool given) {
  return {name, draw, offsets + (given && draw == Draw::gumbel ? 1 : 0),
          parameters.find("values") != std::string_view::npos};
}

/// Facts of the method called `name` with parameters e; an empty name if there is none.
inline MethodFacts facts_of(std::string_view name, const Params& e, bool given) {
#define GRADTHRU_ESTIMATOR(method, draw, parameters, positional, exact, offsets, ...) \
  if (name == #method) return facts(#method, Draw::draw, parameters, offsets, given);
#include "gradthru/estimators.def"
  static_cast<void>(e);
  return facts({}, Draw::uniform, {}, 0, given);
}

}  // namespace gradthru::math
