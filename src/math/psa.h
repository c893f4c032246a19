#pragma once

#include <cmath>

#include "math/philox.h"

namespace gradthru::math {

/// F(a) - F(a - x), F the logistic function, with all digits for any a and x:
/// sign(x) (1 - e^-|x|) F(sign(x) a) F(|x| - sign(x) a) has no difference of near numbers.
template <class T>
GRADTHRU_HD T flip_difference(T a, T x) {
  const T along = x < 0 ? -a : a, size = std::abs(x);
  const auto logistic = [](T u) {
    const T e = std::exp(-std::abs(u));
    return (u < 0 ? e : T(1)) / (1 + e);
  };
  const T value = -std::expm1(-size) * logistic(along) * logistic(size - along);
  return x < 0 ? -value : value;
}

}  // namespace gradthru::math
