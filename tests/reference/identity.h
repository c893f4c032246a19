#pragma once

#include "reference/settings.h"
#include "reference/softmax.h"

namespace reference {

/// g, neither projected nor scaled
inline Row identity(const Row&, int64_t, const Row& g, const Settings&, const Noise&) {
  return g;
}

inline double identity_binary(double, int, double g, const Settings&, const Noise&) {
  return g;
}

}  // namespace reference
