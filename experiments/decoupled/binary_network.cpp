#include "experiments/decoupled/binary_network.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <string>

#include "experiments/sbn-train/network.h"
#include "gradthru/nn/binary_sequential.h"

namespace gradthru::experiments::decoupled {
namespace {

using at::Tensor;

constexpr int64_t kNormalised = 1000;  // images

SbnShape shape_of(const TaskSetting& s) {
  SbnShape shape;
  shape.hidden = s.hidden;
  shape.channels = s.height * s.width;  // an image is one row of pixels
  shape.side = 1;
  shape.classes = s.classes;
  return shape;
}

class BinaryNetwork : public Task {
 public:
  explicit BinaryNetwork(const TaskSetting& s) : shape_(shape_of(s)), net_(make_network(shape_)) {
    const int64_t count = std::min(kNormalised, s.train.size());
    net_->normalise(network_input(shape_, s.train.range(0, count).images));
  }

  NamedTensors encoder() const override {
    NamedTensors all;
    for (size_t l = 0; l < net_->layers().size(); ++l) {
      const std::string name = "layer" + std::to_string(l);
      all.emplace_back(name + ".weight", net_->layers()[l]->weight);
      all.emplace_back(name + ".bias", net_->layers()[l]->bias);
    }
    return all;
  }
  NamedTensors decoder() const override { return {{"weight", net_->weight}, {"bias", net_->bias}}; }

  std::vector<std::string> metrics() const override { return {"loss", "acc1"}; }

  Tensor loss(const LabelledImages& batch, const Estimator& e, const Key& key) const override {
    return nn::loss_of(net_->loss_kind(), outputs(batch.images, e, key, 0), batch.labels).mean();
  }
  uint64_t offsets_used(const Estimator& e) const override { return net_->offsets_used(e); }

  Tensor evaluate(const LabelledImages& examples, const Estimator&, double tau, Key key,
                  int64_t first) const override {
    const Tensor eta = outputs(examples.images, st({.tau_f = tau}), key, first);
    const Tensor right = eta.argmax(-1) == examples.labels;
    return at::stack(
        {nn::loss_of(net_->loss_kind(), eta, examples.labels).mean(), right.to(at::kFloat).mean()});
  }

 private:
  /// What the head gives for one sample of the units.
  Tensor outputs(const Tensor& images, const Estimator& e, Key key, int64_t first) const {
    Tensor x = network_input(shape_, images);
    nn::LayerInput input = nn::LayerInput::real;
    for (const auto& layer : net_->layers()) {
      key.row0 = first * layer->weight.size(0);
      x = layer->forward(x, e, {.input = input, .key = key.take(nn::layer_offsets_used(e))});
      input = nn::LayerInput::units;
    }
    return at::linear(x, net_->weight, net_->bias);
  }

  SbnShape shape_;
  nn::StochasticBinarySequential net_;
};

}  // namespace

std::unique_ptr<Task> make_binary_network(const TaskSetting& setting) {
  return std::make_unique<BinaryNetwork>(setting);
}

}  // namespace gradthru::experiments::decoupled
