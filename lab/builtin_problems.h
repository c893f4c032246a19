#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/problem.h"

namespace gradthru::lab {

/// What a built-in problem is made from.
struct ProblemSize {
  int64_t L = 3;
  int64_t K = 4;
  uint64_t seed = 0;  ///< of the logits, N(0, 1.5^2), and of the function's numbers, N(0, 1)
  double p = 2;       ///< polynomial: |. - c|^p
  double c = 0.45;
};

/// linear, quadratic, cubic, parity, polynomial, mlp.
const std::vector<std::string>& builtin_names();

/// The problem of that name. `polynomial` is known in closed form for every L; with two categories
/// f sees the first entry of each one-hot, with K the value k / (K - 1).
/// Errors: InvalidInput for an unknown name or a size that the problem has not.
Problem builtin_problem(const std::string& name, const ProblemSize& size);

}  // namespace gradthru::lab
