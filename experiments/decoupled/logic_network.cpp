#include "experiments/decoupled/logic_network.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "gradthru/error.h"
#include "gradthru/nn/logic_circuit.h"
#include "gradthru/nn/logic_gates.h"

namespace gradthru::experiments::decoupled {
namespace {

using at::Tensor;

constexpr int64_t kSide = 20;
constexpr int64_t kBlock = 500;      // images at once
constexpr double kTemperature = 10;  // of the scores
constexpr int64_t kWritten = 1000;   // test images whose bits are written beside the circuit

/// A line for each row, its last bit first, as Verilog's $readmemb takes them.
std::string lines_of(const Tensor& bits) {
  const Tensor rows = bits.to(at::kBool).contiguous();
  const int64_t width = rows.size(1);
  std::string text;
  for (int64_t n = 0; n < rows.size(0); ++n) {
    const bool* row = rows.const_data_ptr<bool>() + n * width;
    for (int64_t i = width; i-- > 0;) text += row[i] ? '1' : '0';
    text += '\n';
  }
  return text;
}

class LogicNetwork : public Task {
 public:
  explicit LogicNetwork(const TaskSetting& s)
      : height_(s.height), width_(s.width), classes_(s.classes) {
    int64_t below = std::min(kSide, height_) * std::min(kSide, width_);
    for (size_t l = 0; l < s.hidden.size(); ++l) {
      layers_.emplace_back(below, s.hidden[l], /*seed=*/l);
      below = s.hidden[l];
    }
    if (below % classes_ != 0) {
      throw InvalidInput("model.hidden: the last layer of dlgn must be a multiple of " +
                         std::to_string(classes_) + " gates, got " + std::to_string(below));
    }
  }

  NamedTensors encoder() const override {
    NamedTensors all;
    for (size_t l = 0; l < layers_.size(); ++l) {
      all.emplace_back("layer" + std::to_string(l) + ".logits", layers_[l]->logits);
    }
    return all;
  }
  NamedTensors decoder() const override { return {}; }

  std::vector<std::string> metrics() const override { return {"loss", "acc1"}; }

  Tensor loss(const LabelledImages& batch, const Estimator& e, const Key& key) const override {
    return at::cross_entropy_loss(scores(batch.images, e, key), batch.labels);
  }

  uint64_t offsets_used(const Estimator& e) const override {
    return e.method == Method::ap1 ? 0 : layers_.size() * gradthru::offsets_used(e);
  }

  Tensor evaluate(const LabelledImages& examples, const Estimator&, double tau, Key key,
                  int64_t) const override {
    const Tensor eta = scores(examples.images, st({.tau_f = tau}), key);
    const Tensor right = eta.argmax(-1) == examples.labels;
    return at::stack({at::cross_entropy_loss(eta, examples.labels), right.to(at::kFloat).mean()});
  }

  /// The circuit of the likeliest gates, compared with the network on every test image.
  Product product(const LabelledImages& test) const override {
    const at::NoGradGuard no_grad;
    const nn::LogicCircuit circuit(layers_, classes_);
    int64_t differ = 0, right = 0;
    for (int64_t first = 0; first < test.size(); first += kBlock) {
      const auto part = test.range(first, std::min(kBlock, test.size() - first));
      const Tensor counts = circuit.counts(bits(part.images));
      const Tensor scores_of_gates = scores(part.images, st({.tau_f = 0}), Key{});
      differ += counts.ne((scores_of_gates * kTemperature).round()).any(1).sum().item<int64_t>();
      right += counts.argmax(1).eq(part.labels).sum().item<int64_t>();
    }
    const Tensor written = bits(test.range(0, std::min(kWritten, test.size())).images);
    return {.files = {{"circuit/circuit.v", circuit.verilog("circuit")},
                      {"circuit/circuit.c", circuit.c_source("circuit")},
                      {"circuit/inputs.txt", lines_of(written)},
                      {"circuit/outputs.txt", lines_of(circuit.evaluate(written))}},
            .values = {{"circuit_acc1", static_cast<double>(right) / test.size()},
                       {"circuit_differs", static_cast<double>(differ)},
                       {"circuit_gates", static_cast<double>(circuit.used_gates())}}};
  }

 private:
  /// The pixels that are on, of the middle of the image.
  Tensor bits(const Tensor& images) const {
    const int64_t rows = std::min(kSide, height_), columns = std::min(kSide, width_);
    return images.reshape({-1, height_, width_})
        .narrow(1, (height_ - rows) / 2, rows)
        .narrow(2, (width_ - columns) / 2, columns)
        .flatten(1)
        .gt(0.5)
        .to(at::kFloat);
  }

  Tensor scores(const Tensor& images, const Estimator& e, Key key) const {
    Tensor x = bits(images);
    for (const auto& layer : layers_) {
      x = e.method == Method::ap1
              ? layer->soft(x)
              : layer->forward(x, e, {.key = key.take(gradthru::offsets_used(e))});
    }
    return nn::group_sum(x, classes_, kTemperature);
  }

  int64_t height_, width_, classes_;
  std::vector<nn::LogicGateLayer> layers_;
};

}  // namespace

std::unique_ptr<Task> make_logic_network(const TaskSetting& setting) {
  return std::make_unique<LogicNetwork>(setting);
}

}  // namespace gradthru::experiments::decoupled
