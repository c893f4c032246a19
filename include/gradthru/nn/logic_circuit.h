#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gradthru/export.h"
#include "gradthru/nn/logic_gates.h"

namespace gradthru::nn {

/// Gates of one layer of a circuit.
struct CircuitLayer {
  std::vector<int32_t> left, right;  ///< inputs: numbers of bits of the layer below
  std::vector<uint8_t> function;     ///< 0 .. 15, as in logic_gates.h
};

/// What logic gate layers compute once their functions are chosen, on bits: 64 examples in a word.
///
/// Example: `LogicCircuit circuit(layers, 10); auto classes = circuit.counts(bits).argmax(1);`
class GRADTHRU_API LogicCircuit {
 public:
  /// The layers' most probable gates. Errors: InvalidInput where layers do not fit each other, or
  /// groups does not divide the outputs.
  explicit LogicCircuit(const std::vector<LogicGateLayer>& layers, int64_t groups = 1);

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const;
  int64_t groups() const { return groups_; }
  const std::vector<CircuitLayer>& layers() const { return layers_; }

  /// How many gates the outputs depend on.
  int64_t used_gates() const;

  /// Outputs for inputs that are on where x > 0.5: [B, in] to bool [B, out].
  at::Tensor evaluate(const at::Tensor& x) const;

  /// How many outputs of each group are on: [B, in] to int64 [B, groups].
  at::Tensor counts(const at::Tensor& x) const;

  /// A combinational Verilog module with ports `input [in-1:0] x` and `output [out-1:0] y`, without
  /// the gates that no output depends on. Errors: InvalidInput for a name that is no identifier.
  std::string verilog(const std::string& module) const;

  /// A C99 function `void name(const uint64_t *x, uint64_t *y)` with a word of 64 examples for each
  /// input and output. Errors: InvalidInput for a name that is no identifier.
  std::string c_source(const std::string& name) const;

 private:
  /// Whether the outputs depend on a gate, layer by layer.
  std::vector<std::vector<bool>> used() const;

  int64_t inputs_, groups_;
  std::vector<CircuitLayer> layers_;
};

}  // namespace gradthru::nn
