#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "gradthru/estimator.h"
#include "gradthru/export.h"
#include "gradthru/key.h"

namespace gradthru {

/// The two values of a binary variable.
enum class Coding { zero_one, plus_minus_one };

struct BinaryOptions {
  Coding coding = Coding::zero_one;
  std::optional<int64_t> samples{};   ///< S draws per element: a leading dimension S
  std::optional<at::Tensor> given{};  ///< values in the coding that replace the draw (replay)
  std::optional<at::Tensor> tau_f{};  ///< per element, in place of the estimator's: broadcastable
  std::optional<at::Tensor> tau_b{};  ///< to the logits' shape; no grad
  double uniform_mix = 0;             ///< in [0, 1): share of the fair coin in the sampled law
  bool check = false;                 ///< look at the result once (synchronises), raise if bad
  std::optional<Key> key{};
  std::optional<at::Generator> generator{};
};

/// Draws a Bernoulli variable per element and lets the gradient through by the estimator's rule.
///
/// Maths: b = 1[logits / tau_f + L > 0], L ~ Logistic(0, 1), so P(b = 1) = sigmoid(logits / tau_f);
///   the value is b ({0,1}) or 2b - 1 (±1). Each rule is the categorical rule on logits [a, 0].
///   With uniform_mix = eps, P(b = 1) = (1 - eps) sigmoid(logits / tau_f) + eps / 2.
/// Shapes: logits any; the result the same, with a leading S if samples are asked for; tau_f and
///   tau_b broadcast to the logits.
/// Dtypes: float64, float32, float16, bfloat16 (the latter two computed in float32).
/// Gradient: to the logits only. Determinism, errors: as sample(); an invalid element has value and
///   gradient NaN, and `check` names the first one.
/// Example: `auto y = sample_binary(a, zgr(), {.coding = Coding::plus_minus_one});`
GRADTHRU_API at::Tensor sample_binary(const at::Tensor& logits, const Estimator& estimator,
                                      const BinaryOptions& options = {});

/// How many offsets of the random stream one call of `sample_binary` with these options uses.
GRADTHRU_API uint64_t binary_offsets_used(const Estimator& estimator,
                                          const BinaryOptions& options = {});

}  // namespace gradthru
