// CPU driver of logic gates: rows of examples, one row for every input and every gate.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "cpu/simd/logic_kernels.h"

namespace gradthru::cpu {
namespace {

using at::Tensor;

/// Elements that are worth a thread.
constexpr int64_t kGrain = 1 << 15;

template <class T>
const LogicKernels<T>& kernels_of() {
  if constexpr (std::is_same_v<T, float>) {
    return logic_kernels().of_float;
  } else {
    return logic_kernels().of_double;
  }
}

/// The inputs of the gates, looked at.
struct Wiring {
  Tensor left_tensor, right_tensor;
  const int64_t *left, *right;
  int64_t gates;

  Wiring(const Tensor& left_in, const Tensor& right_in, int64_t inputs)
      : left_tensor(left_in.contiguous()),
        right_tensor(right_in.contiguous()),
        left(left_tensor.const_data_ptr<int64_t>()),
        right(right_tensor.const_data_ptr<int64_t>()),
        gates(left_tensor.numel()) {
    for (const int64_t* side : {left, right}) {
      for (int64_t g = 0; g < gates; ++g) {
        TORCH_CHECK_INDEX(side[g] >= 0 && side[g] < inputs,
                          "logic_gates: inputs of gates must be in [0, ", inputs - 1, "], got ",
                          side[g]);
      }
    }
  }
};

int64_t grain(int64_t examples) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, examples));
}

Tensor logic_gates(const Tensor& x, const Tensor& left, const Tensor& right,
                   const Tensor& coefficients) {
  const Wiring wiring(left, right, x.size(0));
  const Tensor rows = x.contiguous(), c = coefficients.contiguous();
  const int64_t n = x.size(1);
  Tensor out = at::empty({wiring.gates, n}, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "gradthru::logic_gates", [&] {
    const auto& kernels = kernels_of<scalar_t>();
    const auto* in = rows.const_data_ptr<scalar_t>();
    const auto* numbers = c.const_data_ptr<scalar_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, wiring.gates, grain(n), [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g) {
        kernels.gate(in + wiring.left[g] * n, in + wiring.right[g] * n, numbers + 4 * g, n,
                     to + g * n);
      }
    });
  });
  return out;
}

/// For each input the gates that it enters, on which side, in the order of the gates: so the sums
/// do not depend on threads.
struct Uses {
  std::vector<int64_t> first;  ///< of each input, and the end
  std::vector<int64_t> use;    ///< 2 * gate + side

  Uses(const Wiring& wiring, int64_t inputs) : first(static_cast<size_t>(inputs + 1)) {
    const int64_t* sides[] = {wiring.left, wiring.right};
    for (const int64_t* side : sides) {
      for (int64_t g = 0; g < wiring.gates; ++g) ++first[static_cast<size_t>(side[g] + 1)];
    }
    for (size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
    std::vector<int64_t> next(first.begin(), first.end() - 1);
    use.resize(static_cast<size_t>(2 * wiring.gates));
    for (int64_t g = 0; g < wiring.gates; ++g) {
      for (int s = 0; s < 2; ++s) {
        use[static_cast<size_t>(next[static_cast<size_t>(sides[s][g])]++)] = 2 * g + s;
      }
    }
  }
};

std::tuple<Tensor, Tensor> logic_gates_backward(const Tensor& grad, const Tensor& x,
                                                const Tensor& left, const Tensor& right,
                                                const Tensor& coefficients) {
  const int64_t inputs = x.size(0), n = x.size(1);
  const Wiring wiring(left, right, inputs);
  const Uses uses(wiring, inputs);
  const Tensor rows = x.contiguous(), c = coefficients.contiguous(), arriving = grad.contiguous();
  Tensor grad_x = at::zeros({inputs, n}, x.options());
  Tensor grad_c = at::empty({wiring.gates, 4}, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "gradthru::logic_gates_backward", [&] {
    const auto& kernels = kernels_of<scalar_t>();
    const auto* in = rows.const_data_ptr<scalar_t>();
    const auto* numbers = c.const_data_ptr<scalar_t>();
    const auto* from = arriving.const_data_ptr<scalar_t>();
    auto* to_c = grad_c.mutable_data_ptr<scalar_t>();
    auto* to_x = grad_x.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, wiring.gates, grain(n), [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g) {
        kernels.coefficients(from + g * n, in + wiring.left[g] * n, in + wiring.right[g] * n, n,
                             to_c + 4 * g);
      }
    });
    const int64_t each = std::max<int64_t>(1, 2 * wiring.gates / std::max<int64_t>(1, inputs));
    at::parallel_for(0, inputs, grain(n * each), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t k = uses.first[static_cast<size_t>(i)];
             k < uses.first[static_cast<size_t>(i + 1)]; ++k) {
          const int64_t use = uses.use[static_cast<size_t>(k)], g = use / 2;
          const bool is_left = use % 2 == 0;
          const auto* other = in + (is_left ? wiring.right[g] : wiring.left[g]) * n;
          kernels.input(from + g * n, other, numbers[4 * g + (is_left ? 1 : 2)], numbers[4 * g + 3],
                        n, to_x + i * n);
        }
      }
    });
  });
  return {grad_x, grad_c};
}

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
  m.impl("logic_gates", &logic_gates);
  m.impl("logic_gates_backward", &logic_gates_backward);
}

}  // namespace
}  // namespace gradthru::cpu
