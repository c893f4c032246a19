#include "experiments/cost/measure.h"

#include <torch/csrc/autograd/function.h>

#include <chrono>

#include "experiments/peak_memory.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;

double now_ms() {
  using std::chrono::steady_clock;
  return std::chrono::duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace

StepTimes time_steps(Workload& workload, const Candidate& candidate, double at_least_ms) {
  StepTimes sum;
  do {
    const double start = now_ms();
    workload.clear();
    const double forward = now_ms();
    Tensor root = candidate.forward();
    const double backward = now_ms();
    workload.backward(root);
    root.reset();
    const double update = now_ms();
    workload.update();
    sum.forward += backward - forward;
    sum.backward += update - backward;
    sum.step += now_ms() - start;
    ++sum.calls;
  } while (sum.step < at_least_ms);
  const auto n = static_cast<double>(sum.calls);
  return {sum.forward / n, sum.backward / n, sum.step / n, sum.calls};
}

StepMemory memory_of_step(Workload& workload, const Candidate& candidate) {
  StepMemory memory;
  workload.clear();
  workload.put_inside_model(true);
  {
    const PeakMemory counters;
    Tensor root = candidate.forward();
    const auto graph = root.grad_fn();  // stays when the result is gone
    root.reset();
    memory.saved = counters.held();
  }
  workload.put_inside_model(false);
  const PeakMemory counters;
  Tensor root = candidate.forward();
  workload.backward(root);
  root.reset();
  workload.update();
  memory.peak = counters.bytes();
  workload.clear();
  return memory;
}

}  // namespace gradthru::experiments::cost
