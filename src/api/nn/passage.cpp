#include "api/nn/passage.h"

#include <ATen/ATen.h>

#include <utility>

#include "gradthru/error.h"

namespace gradthru::nn {

using at::Tensor;

void fail(const std::string& what) {
  throw InvalidInput("StochasticBinarySequential: " + what);
}

bool is_linear(const StochasticBinaryLayerImpl& layer) {
  return layer.weight.dim() == 2;
}

Tensor as_input_of(const StochasticBinaryLayerImpl& layer, const Tensor& x) {
  return is_linear(layer) && x.dim() > 2 ? x.flatten(1) : x;
}

Key key_of(const NetworkOptions& options) {
  if (options.key && options.generator) fail("give a key or a generator, not both");
  return options.key ? *options.key : key_from(options.generator);
}

HeadInput head_input(const LayerSample& top) {
  return {top.x.flatten(1), top.preactivation.flatten(1)};
}

Key Stream::at(size_t l, size_t layers, uint64_t s, int64_t units) const {
  Key result = key;
  result.offset += each_layer * (s * layers + l);
  result.row0 = batch0 * units;
  return result;
}

int64_t Passage::units_per_example(size_t l, const Tensor& below) const {
  const auto& layer = *layers[l];
  if (is_linear(layer)) return layer.weight.size(0);
  const at::NoGradGuard no_grad;
  const Tensor one = layer.preactivation(below.narrow(0, 0, 1).detach());
  return one.numel();
}

LayerSample Passage::layer(size_t l, const Tensor& below, uint64_t s, bool given) const {
  const Tensor input = as_input_of(*layers[l], below);
  LayerOptions o{.input = l == 0 ? LayerInput::real : LayerInput::units};
  if (given && options.given) o.given = options.given->at(l);
  const int64_t units = stream.batch0 == 0 ? 0 : units_per_example(l, input);
  o.key = stream.at(l, layers.size(), s, units);
  return layers[l]->sample(input, estimator, o);
}

std::vector<LayerSample> Passage::run(const Tensor& x, uint64_t s) const {
  std::vector<LayerSample> all;
  for (size_t l = 0; l < layers.size(); ++l) {
    all.push_back(layer(l, l == 0 ? x : all.back().x, s, true));
  }
  return all;
}

Tensor Passage::tail(size_t l, Tensor units, uint64_t s) const {
  while (++l < layers.size()) units = layer(l, units, s, false).x;
  return units.flatten(1);
}

}  // namespace gradthru::nn
