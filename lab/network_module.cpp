#include "lab/network_module.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "gradthru/nn/binary_linear.h"

namespace gradthru::lab {

using at::Tensor;

nn::StochasticBinarySequential module_of(const BinaryNetwork& network) {
  nn::StochasticBinarySequentialImpl::Layers layers;
  for (size_t l = 0; l < network.hidden_layers(); ++l) {
    const Tensor& W = network.layers[l].W;
    layers.push_back(
        std::make_shared<nn::StochasticBinaryLinearImpl>(W.size(1), W.size(0), network.coding));
  }
  nn::StochasticBinarySequential module(layers, network.layers.back().W.size(0), network.loss);
  module->to(at::kDouble);
  const at::NoGradGuard no_grad;
  const auto weights = layers_of(*module);
  for (size_t l = 0; l < weights.size(); ++l) {
    weights[l].W.copy_(network.layers[l].W);
    weights[l].b.copy_(network.layers[l].b);
  }
  return module;
}

std::vector<NetworkLayer> layers_of(const nn::StochasticBinarySequentialImpl& module) {
  std::vector<NetworkLayer> all;
  for (const auto& layer : module.layers()) all.push_back({layer->weight, layer->bias});
  all.push_back({module.weight, module.bias});
  return all;
}

std::vector<NetworkLayer> detached_layers_of(const nn::StochasticBinarySequentialImpl& module) {
  std::vector<NetworkLayer> all;
  for (const auto& [W, b] : layers_of(module)) {
    all.push_back({W.detach().clone(), b.detach().clone()});
  }
  return all;
}

std::vector<NetworkLayer> gradients_of(const nn::StochasticBinarySequentialImpl& module) {
  std::vector<NetworkLayer> all;
  for (const auto& [W, b] : layers_of(module)) all.push_back({W.grad(), b.grad()});
  return all;
}

}  // namespace gradthru::lab
