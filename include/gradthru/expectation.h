#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "gradthru/bernoulli.h"
#include "gradthru/estimator.h"
#include "gradthru/export.h"
#include "gradthru/key.h"

namespace gradthru {

/// A function of L discrete variables, called with many samples at once: z [E, B.., L, K] one-hot
/// (or [E, B.., L] in a coding) to values [E, B..].
using Function = std::function<at::Tensor(const at::Tensor& z)>;

struct ExpectationOptions {
  int64_t samples = 1;  ///< independent estimates that are averaged
  std::optional<at::Tensor>
      baseline{};                 ///< 0-dim: the state of reinforce(baseline=moving), start 0
  double decay = 0.9;             ///< of the moving baseline, in [0, 1): after each use it becomes
                                  ///< decay * baseline + (1 - decay) * mean of f
  int64_t most_states = 1 << 20;  ///< `exact` refuses more
  std::optional<at::Tensor> given{};  ///< what replaces the draw (replay): see Evaluation
  std::optional<Key> key{};
  std::optional<at::Generator> generator{};
};

/// The estimate of an expectation in two halves, between which f is evaluated by whoever can:
///
///     Evaluation half(logits, rloo(4));
///     half.combine(f(half.points())).mean().backward();
///
/// `given`, in place of random numbers, has the shape [S, B.., L], where S is `samples` (for rloo
/// and indecater times their own samples, those of one estimate in a row). It holds the drawn
/// categories, int64; or the drawn values of Bernoulli variables, in the coding; or for arm and
/// disarm the uniforms in (0, 1), float64. `exact` draws nothing and takes none.
class GRADTHRU_API Evaluation {
 public:
  /// Logits [B.., L, K] of L independent categorical variables.
  Evaluation(const at::Tensor& logits, const Estimator& estimator,
             const ExpectationOptions& options = {});
  /// Logits [B.., L] of L independent Bernoulli variables, whose samples have the coding's values.
  Evaluation(const at::Tensor& logits, const Estimator& estimator, Coding coding,
             const ExpectationOptions& options = {});

  /// Where f is wanted: [E, B.., L, K] or [E, B.., L]. With a pathwise estimator they require grad.
  const at::Tensor& points() const { return points_; }

  /// Values [E, B..] of f at the points to estimates of E f, [B..].
  /// Gradient: to the logits by the estimator's rule, and to what the values depend on besides.
  /// Errors: InvalidInput for values of another shape.
  at::Tensor combine(const at::Tensor& values) const;

 private:
  at::Tensor points_;
  std::function<at::Tensor(const at::Tensor& values)> combine_;
};

/// The mean over the batch of an estimate of E f(z), z the one-hot rows of L independent variables.
///
/// Maths: z_l ~ softmax(logits_l / tau_f). The backward gives the estimator's gradient, whatever it
///   wants of f: its gradient at the sample (pathwise), its values at several samples (score), or
///   at all states (exact).
/// Shapes: logits [B.., L, K]; f takes z [E, B.., L, K] and returns values [E, B..]; a scalar.
/// Dtypes: those of sample().
/// Gradient: to the logits, and to parameters of f.
/// Bias: traits(estimator).exact. Cost: evaluations(estimator, L, K) * samples calls of f in one
///   batch, and their memory.
/// Determinism: a pure function of (logits, f, estimator, options); row b of the batch has rows
///   row0 + b * L to row0 + (b + 1) * L of the random numbers.
/// Errors: InvalidInput for logits or values of the wrong shape, an estimator for binary variables
///   where K > 2, more states than most_states, a moving baseline without its state.
/// Source: docs/estimators; the surrogate losses are those of stochastic computation graphs
/// (Schulman
///   et al., arXiv 1506.05254).
/// Example: `expectation(f, logits, parse_estimator("rloo(4)")).backward();`
GRADTHRU_API at::Tensor expectation(const Function& f, const at::Tensor& logits,
                                    const Estimator& estimator,
                                    const ExpectationOptions& options = {});

/// The same for L independent Bernoulli variables: logits [B.., L]; f takes z [E, B.., L].
GRADTHRU_API at::Tensor expectation(const Function& f, const at::Tensor& logits,
                                    const Estimator& estimator, Coding coding,
                                    const ExpectationOptions& options = {});

/// The categories of L variables in states `first` to `last` (not included) of all K^L, the first
/// variable slowest: int64 [last - first, L].
GRADTHRU_API at::Tensor states(int64_t K, int64_t L, int64_t first, int64_t last);

/// How many offsets of the random stream one call of `expectation` or `Evaluation` uses.
GRADTHRU_API uint64_t expectation_offsets_used(const Estimator& estimator,
                                               const ExpectationOptions& options = {});

}  // namespace gradthru
