#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

#include "gradthru/expectation.h"

namespace gradthru::lab {

/// What the lab measures estimators on: J = sum over b of E f_b(z_b), where row b of the batch has
/// L independent variables with K categories.
struct Problem {
  std::string name;
  at::Tensor logits;           ///< [B, L, K], float64
  Function f;                  ///< z [E, B, L, K] to values [E, B]
  bool differentiable = true;  ///< whether f has a gradient, which most estimators need

  /// The exact gradient at tau_f, [B, L, K], where it is known without enumeration.
  std::function<at::Tensor(double tau_f)> known_gradient{};

  /// The gradient of f at states [m, L], the same for every row: [m, B, L, K], where there is a
  /// cheaper way than the backward of f.
  std::function<at::Tensor(const at::Tensor& index)> known_slopes{};

  int64_t B() const { return logits.size(0); }
  int64_t L() const { return logits.size(1); }
  int64_t K() const { return logits.size(2); }
};

}  // namespace gradthru::lab
