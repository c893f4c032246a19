#include "experiments/parameters.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <sstream>

#include "train/session.h"
#include "train/streams.h"

namespace gradthru::experiments {

using at::Tensor;

void begin_init_stream(uint64_t seed) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(train::stream_seed(seed, "init"));
}

void add_linear_layers(NamedTensors& parameters, const std::string& stack,
                       const std::vector<int64_t>& widths) {
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    const int64_t from = widths[i], to = widths[i + 1];
    const double bound = 1 / std::sqrt(static_cast<double>(from));
    const auto uniform = [bound](at::IntArrayRef size) {
      return at::empty(size).uniform_(-bound, bound).requires_grad_();
    };
    const std::string name = stack + "." + std::to_string(i);
    parameters.emplace_back(name + ".weight", uniform({to, from}));
    parameters.emplace_back(name + ".bias", uniform({to}));
  }
}

std::vector<Tensor> tensors_of(const NamedTensors& parameters) {
  std::vector<Tensor> tensors;
  for (const auto& [name, tensor] : parameters) tensors.push_back(tensor);
  return tensors;
}

void require_finite(double loss, const NamedTensors& parameters, const Estimator& estimator,
                    double rate) {
  std::ostringstream setting;
  setting << " with " << to_string(estimator) << ", lr " << rate;
  if (!std::isfinite(loss)) throw train::Diverged("loss is not finite" + setting.str());
  std::vector<Tensor> sums;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : parameters) {
    if (!tensor.grad().defined()) continue;
    sums.push_back(tensor.grad().sum());
    names.push_back(name);
  }
  if (sums.empty() || at::isfinite(at::stack(sums)).all().item<bool>()) return;
  for (size_t i = 0; i < sums.size(); ++i) {
    if (std::isfinite(sums[i].item<double>())) continue;
    throw train::Diverged("gradient of " + names[i] + " is not finite" + setting.str());
  }
}

void store(const NamedTensors& parameters, train::Checkpoint& checkpoint) {
  for (const auto& [name, tensor] : parameters) {
    checkpoint.tensors["model." + name] = tensor.detach();
  }
}

void restore(const NamedTensors& parameters, const train::Checkpoint& checkpoint) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : parameters) {
    const Tensor& held = checkpoint.tensor("model." + name);
    if (held.sizes() != tensor.sizes()) {
      throw InvalidInput("checkpoint: model." + name +
                         " does not fit its parameter: another model?");
    }
    tensor.copy_(held);
  }
}

}  // namespace gradthru::experiments
