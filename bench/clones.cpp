// The floors: what moving the data costs, with and without autograd.
#include <stdexcept>

#include "bench/cases.h"

namespace gradthru::bench {
namespace {

/// A clone and an out-of-place sum of the same tensor: one read and write for each pass.
void copy(benchmark::State& state, Size size, at::ScalarType type) {
  const at::Tensor x = at::randn({size.rows, size.categories}).to(type);
  const bool right = passes_check(state, [&] {
    if (!x.clone().equal(x)) throw std::runtime_error("a clone differs");
  });
  if (!right) return;
  for (auto _ : state) {
    benchmark::DoNotOptimize(x.clone());
    benchmark::DoNotOptimize(x + x);
  }
  state.SetItemsProcessed(state.iterations() * x.numel());
}

void clones(benchmark::State& state, Size size, at::ScalarType type, Pass pass) {
  const at::Tensor x = at::randn({size.rows, size.categories}).to(type);
  time_pass(state, pass, x, at::ones_like(x),
            [](const at::Tensor& leaf) { return leaf.clone().clone(); });
}

const bool registered = [] {
  for (const auto& [type, type_name] : dtypes()) {
    for (const Size size : sizes()) {
      const std::string rest = size.text() + "/" + type_name;
      benchmark::RegisterBenchmark(
          ("floor/copy and sum/" + rest).c_str(),
          [=, type = type](benchmark::State& state) { copy(state, size, type); });
      for (const auto& [pass, pass_name] : passes()) {
        benchmark::RegisterBenchmark(("floor/two clones/" + rest + "/" + pass_name).c_str(),
                                     [=, type = type, pass = pass](benchmark::State& state) {
                                       clones(state, size, type, pass);
                                     });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace gradthru::bench
