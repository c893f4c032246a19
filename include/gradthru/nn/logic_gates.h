#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "gradthru/estimator.h"
#include "gradthru/export.h"
#include "gradthru/key.h"

namespace gradthru::nn {

/// The number of Boolean functions of two inputs. Function k has at (a, b) the value of bit
/// 3 - 2a - b of k: 1 is and, 6 xor, 7 or, 3 is a, 5 is b, 0 false, 15 true.
inline constexpr int64_t kLogicGates = 16;

struct LogicGateOptions {
  std::optional<at::Tensor> index{};  ///< int64 [out]: gates that replace the draw (replay)
  std::optional<Key> key{};
  std::optional<at::Generator> generator{};
};

/// A layer of logic gates that are learnt: each gate sees two inputs, fixed at random, and has 16
/// logits over the Boolean functions of two inputs.
///
/// Maths: function k extends to numbers as c0 + c1 a + c2 b + c3 a b, which is the probability of a
///   one for independent inputs with probabilities a and b. forward() draws a function for each
///   gate, once for the whole batch, and the estimator carries the gradient to the logits; soft()
///   mixes all 16 by softmax(logits / tau); hard() takes the most probable one.
/// Shapes: x [B, in] or [in] to [B, out] or [out]. The result keeps the examples of a gate together
///   in memory, which is how the next layer wants them.
/// Dtypes: float64, float32.
/// Gradient: to the logits and to x. A second derivative is refused.
/// Determinism: the same bits for any number of threads; a pure function of (x, logits, estimator,
///   key); gate j draws in row row0 + j.
/// Errors: InvalidInput for in < 2 or out < 1; c10::Error for an x that does not fit, and what
///   `sample` refuses.
/// Source: Petersen et al., Deep Differentiable Logic Gate Networks, NeurIPS 2022.
/// Example: `LogicGateLayer layer(400, 8000, 7); auto y = layer->forward(x, st(), {.key = key});`
class GRADTHRU_API LogicGateLayerImpl : public torch::nn::Module {
 public:
  /// The wiring comes from the seed, logic_wiring(); the logits are drawn from the standard normal
  /// law by the default generator.
  LogicGateLayerImpl(int64_t in, int64_t out, uint64_t seed = 0);

  at::Tensor forward(const at::Tensor& x, const Estimator& estimator,
                     const LogicGateOptions& options = {}) const;
  at::Tensor soft(const at::Tensor& x, double tau = 1) const;
  at::Tensor hard(const at::Tensor& x) const;

  /// The most probable function of each gate, int64 [out].
  at::Tensor gates() const;

  int64_t inputs() const { return inputs_; }

  /// The dtype is that of the logits: the wiring stays int64.
  void to(at::Device device, at::ScalarType dtype, bool non_blocking = false) override;
  void to(at::ScalarType dtype, bool non_blocking = false) override;
  using torch::nn::Module::to;

  at::Tensor logits;       ///< parameter [out, 16]
  at::Tensor left, right;  ///< buffers, int64 [out]: a and b of each gate

 private:
  at::Tensor apply(const at::Tensor& x, const at::Tensor& mixture) const;

  int64_t inputs_;
};
TORCH_MODULE(LogicGateLayer);

/// The wiring of a layer: two different inputs for each gate, from the seed alone; int64 [out]
/// each. Inputs are used about equally often. Errors: InvalidInput for in < 2 or out < 1.
GRADTHRU_API std::pair<at::Tensor, at::Tensor> logic_wiring(int64_t in, int64_t out, uint64_t seed);

/// c0 .. c3 of each of the 16 functions, [16, 4].
GRADTHRU_API at::Tensor logic_functions(const at::TensorOptions& options = {});

/// The sums of `groups` equal parts of the gates, one after the other, divided by t: the scores of
/// classes. [B, n] to [B, groups]. Errors: InvalidInput where groups does not divide n.
GRADTHRU_API at::Tensor group_sum(const at::Tensor& x, int64_t groups, double t = 1);

}  // namespace gradthru::nn
