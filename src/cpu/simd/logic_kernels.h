#pragma once

#include <cstdint>

// The joint between the driver of logic gates and their kernels, compiled once per instruction
// set. A gate is c0 + c1 a + c2 b + c3 a b; its inputs and its output are rows of n examples.
namespace gradthru::cpu {

template <class T>
struct LogicKernels {
  void (*gate)(const T* a, const T* b, const T* c, int64_t n, T* out);
  /// Adds the gradient of one input, grad (alone + both * other), to `to`.
  void (*input)(const T* grad, const T* other, T alone, T both, int64_t n, T* to);
  /// The gradients of c: sums of grad, grad a, grad b, grad a b.
  void (*coefficients)(const T* grad, const T* a, const T* b, int64_t n, T* to);
};

struct LogicTable {
  const char* name;
  LogicKernels<float> of_float;
  LogicKernels<double> of_double;
};

/// Of the instruction set that kernels() chose.
const LogicTable& logic_kernels();

}  // namespace gradthru::cpu
