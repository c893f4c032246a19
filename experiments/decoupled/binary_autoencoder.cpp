#include "experiments/decoupled/binary_autoencoder.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/modules/conv.h>

#include "gradthru/bernoulli.h"
#include "gradthru/error.h"

namespace gradthru::experiments::decoupled {
namespace {

using at::Tensor;
using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;
using torch::nn::ConvTranspose2d;
using torch::nn::ConvTranspose2dOptions;

constexpr int64_t kSide = 32, kLatentSide = 8, kBits = 32;
constexpr int64_t kUnits = kBits * kLatentSide * kLatentSide;  // of an image

class BinaryAutoencoder : public Task {
 public:
  explicit BinaryAutoencoder(const TaskSetting& s)
      : height_(s.height),
        width_(s.width),
        down1_(Conv2dOptions(1, s.hidden[0], 4).stride(2).padding(1)),
        down2_(Conv2dOptions(s.hidden[0], s.hidden[1], 4).stride(2).padding(1)),
        logits_(Conv2dOptions(s.hidden[1], kBits, 3).padding(1)),
        wide_(Conv2dOptions(kBits, s.hidden[1], 3).padding(1)),
        up1_(ConvTranspose2dOptions(s.hidden[1], s.hidden[0], 4).stride(2).padding(1)),
        up2_(ConvTranspose2dOptions(s.hidden[0], 1, 4).stride(2).padding(1)) {
    if (height_ <= kSide && width_ <= kSide) return;
    throw InvalidInput("binary-ae: wanted images of at most 32x32, got " + std::to_string(height_) +
                       "x" + std::to_string(width_));
  }

  NamedTensors encoder() const override {
    NamedTensors all;
    add("encoder.0", *down1_, all);
    add("encoder.1", *down2_, all);
    add("encoder.2", *logits_, all);
    return all;
  }
  NamedTensors decoder() const override {
    NamedTensors all;
    add("decoder.0", *wide_, all);
    add("decoder.1", *up1_, all);
    add("decoder.2", *up2_, all);
    return all;
  }

  Tensor loss(const LabelledImages& batch, const Estimator& e, const Key& key) const override {
    const Tensor x = padded(batch.images);
    return errors(sample_binary(encode(x), e, {.key = key}), x).mean();
  }
  uint64_t offsets_used(const Estimator& e) const override { return binary_offsets_used(e); }

  Tensor evaluate(const LabelledImages& examples, const Estimator&, double tau, Key key,
                  int64_t first) const override {
    key.row0 = first * kUnits;
    return loss(examples, st({.tau_f = tau}), key).view({1});
  }

  /// A bit as a variable with the logits [a, 0]: its first category is 1.
  std::optional<lab::Problem> problem(const Tensor& images) const override {
    const at::NoGradGuard no_grad;
    const Tensor x = padded(images), a = encode(x).flatten(1);
    lab::Problem problem;
    problem.name = "decoupled";
    problem.logits = at::stack({a, at::zeros_like(a)}, -1);
    problem.f = [this, x](const Tensor& z) {
      const Tensor bits = z.select(-1, 0).reshape({-1, kBits, kLatentSide, kLatentSide});
      const Tensor each = errors(bits, x.repeat({z.size(0), 1, 1, 1}));
      return each.view({z.size(0), x.size(0)});
    };
    return problem;
  }

 private:
  template <typename Layer>
  static void add(const std::string& name, const Layer& layer, NamedTensors& all) {
    all.emplace_back(name + ".weight", layer.weight);
    all.emplace_back(name + ".bias", layer.bias);
  }

  Tensor padded(const Tensor& images) const {
    const int64_t down = kSide - height_, right = kSide - width_;
    return at::constant_pad_nd(images.view({-1, 1, height_, width_}),
                               {right / 2, right - right / 2, down / 2, down - down / 2}, 0);
  }

  // Modules are shared; forward() of one is not const.
  Tensor encode(const Tensor& x) const {
    Conv2d first = down1_, second = down2_, third = logits_;
    return third(second(first(x).relu()).relu());
  }
  Tensor decode(const Tensor& bits) const {
    Conv2d first = wide_;
    ConvTranspose2d second = up1_, third = up2_;
    return third(second(first(bits).relu()).relu()).sigmoid();
  }

  /// [n] from bits [n, 32, 8, 8] and padded images [n, 1, 32, 32].
  Tensor errors(const Tensor& bits, const Tensor& x) const {
    return (decode(bits) - x).square().flatten(1).mean(1);
  }

  int64_t height_, width_;
  Conv2d down1_, down2_, logits_, wide_;
  ConvTranspose2d up1_, up2_;
};

}  // namespace

std::unique_ptr<Task> make_binary_autoencoder(const TaskSetting& setting) {
  return std::make_unique<BinaryAutoencoder>(setting);
}

}  // namespace gradthru::experiments::decoupled
