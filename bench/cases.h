#pragma once

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "gradthru/gradthru.h"

namespace gradthru::bench {

struct Size {
  int64_t rows, categories;
  std::string text() const { return std::to_string(rows) + "x" + std::to_string(categories); }
};

inline const std::vector<Size>& sizes() {
  static const std::vector<Size> all = {{100, 4},     {800, 4},     {3000, 10},   {32768, 32},
                                        {8192, 1024}, {64, 128000}, {1000000, 16}};
  return all;
}

inline const std::vector<std::pair<at::ScalarType, std::string>>& dtypes() {
  static const std::vector<std::pair<at::ScalarType, std::string>> all = {
      {at::kFloat, "float32"},
      {at::kDouble, "float64"},
      {at::kBFloat16, "bfloat16"},
      {at::kHalf, "float16"}};
  return all;
}

enum class Pass { forward, backward, both };

inline const std::vector<std::pair<Pass, std::string>>& passes() {
  static const std::vector<std::pair<Pass, std::string>> all = {
      {Pass::forward, "forward"}, {Pass::backward, "backward"}, {Pass::both, "both"}};
  return all;
}

/// OMP_NUM_THREADS decides about threads. No gradient is summed into an old one.
template <class Run>
void time_pass(benchmark::State& state, Pass pass, const at::Tensor& logits, const at::Tensor& grad,
               const Run& run) {
  at::Tensor leaf = logits.detach().requires_grad_();
  if (pass == Pass::forward) {
    const c10::NoGradGuard guard;
    for (auto _ : state) benchmark::DoNotOptimize(run(leaf));
  } else if (pass == Pass::backward) {
    const at::Tensor value = run(leaf);
    for (auto _ : state) {
      value.backward(grad, /*retain_graph=*/true);
      leaf.mutable_grad() = at::Tensor();
    }
  } else {
    for (auto _ : state) {
      run(leaf).backward(grad);
      leaf.mutable_grad() = at::Tensor();
    }
  }
  state.SetItemsProcessed(state.iterations() * logits.numel());
}

/// What a check finds ends the benchmark before anything is timed.
template <class Check>
bool passes_check(benchmark::State& state, const Check& check) {
  try {
    check();
    return true;
  } catch (const std::exception& error) {
    const std::string message = error.what();
    state.SkipWithError(message.substr(0, message.find('\n')).c_str());
    return false;
  }
}

/// Whether the library takes this dtype at all: one that it refuses is no failure.
template <class Run>
bool is_supported(at::ScalarType type, const Run& run) {
  try {
    run(at::zeros({2}, at::dtype(type)));
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace gradthru::bench
