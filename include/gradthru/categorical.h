#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "gradthru/estimator.h"
#include "gradthru/export.h"
#include "gradthru/key.h"

namespace gradthru {

struct SampleOptions {
  int64_t dim = -1;                   ///< the dimension of the K categories
  std::optional<int64_t> samples{};   ///< S draws per row: outputs get a leading dimension S
  std::optional<at::Tensor> index{};  ///< int64 indices that replace the draw (replay); -1 skips
  std::optional<at::Tensor> mask{};   ///< bool, broadcastable to the logits; true = allowed
  std::optional<at::Tensor> tau_f{};  ///< per row, in place of the estimator's: broadcastable
  std::optional<at::Tensor> tau_b{};  ///< to the logits' shape without `dim`; no grad
  double uniform_mix = 0;             ///< in [0, 1): share of the uniform law in the sampled one
  bool check = false;                 ///< look at the result once (synchronises), raise if bad
  std::optional<Key> key{};           ///< the random numbers of this call
  std::optional<at::Generator> generator{};  ///< gives a key by one draw where `key` is absent
};

struct Sample {
  at::Tensor onehot;  ///< exact zeros and ones; the relaxed sample if the estimator is soft
  at::Tensor index;   ///< int64, the drawn category; -1 for a skipped or an invalid row
};

/// Draws one category per row and lets the gradient through by the estimator's rule.
///
/// Maths: index ~ softmax(logits / tau_f) along `dim`; onehot = one-hot(index). The backward maps
///   the gradient g at `onehot` to the estimator's gradient for `logits` (docs/estimators). With
///   uniform_mix = eps the index is drawn from (1 - eps) softmax + eps / K; the methods that have a
///   rule for it are in docs/options.md.
/// Mask: a category with mask = false or a logit of -inf does not exist: never drawn, gradient
///   exactly 0, what arrives there is ignored, K counts the others. A row without any category:
///   index -1, zero sample, zero gradient.
/// Shapes: logits [.., K, ..]; onehot [S?, .., K, ..], the shape of the logits; index the same
///   without `dim`. A given index may have the shape of a row set with or without S. mask
///   broadcasts to the logits, tau_f and tau_b to the logits' shape without `dim`.
/// Dtypes: float64, float32, float16, bfloat16 (the latter two computed in float32); onehot and
///   gradient in the dtype of the logits; index int64; mask bool; tau_f, tau_b floating-point.
/// Units: logits in nats, temperatures without unit.
/// Gradient: to the logits only, a temperature that requires grad is refused; gradients add up over
///   S. Second order and forward mode are refused. Bias: traits(estimator).exact.
/// Determinism: a pure function of (logits, estimator, options); no dependence on threads or
///   strides.
/// Errors: InvalidInput for an estimator whose temperatures are still schedules and for options
///   that contradict each other; c10::Error for tensors of the wrong kind and for an option that
///   the method does not take. Values are not looked at: NaN or +inf in an allowed logit, a
///   temperature entry <= 0 or not finite, a given index out of range or masked make their row
///   invalid (index -1, sample and gradient NaN). `check` raises InvalidInput that names the first
///   such row, or the first without an allowed category; a row skipped by a given index of -1 is
///   none.
/// Example: `auto z = sample(logits, reinmax(1.3)); loss(z.onehot).backward();`
GRADTHRU_API Sample sample(const at::Tensor& logits, const Estimator& estimator,
                           const SampleOptions& options = {});

/// The index of `sample` alone, int64, by the same random numbers and without a gradient: no
/// one-hot is written, for tables that are looked up by it. Options and errors are those of
/// `sample`; `check` looks for rows with index -1.
GRADTHRU_API at::Tensor sample_index(const at::Tensor& logits, const Estimator& estimator,
                                     const SampleOptions& options = {});

/// How many offsets of the random stream one call of `sample` with these options uses: what
/// `Key::take` must be given so that no two calls share a random number.
GRADTHRU_API uint64_t offsets_used(const Estimator& estimator, const SampleOptions& options = {});

}  // namespace gradthru
