#include "experiments/decoupled/categorical.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <tuple>

#include "experiments/latent.h"
#include "experiments/vae/model.h"
#include "gradthru/categorical.h"

namespace gradthru::experiments::decoupled {
namespace {

using at::Tensor;

VaeShape shape_of(const std::string& latent, const TaskSetting& setting) {
  VaeShape shape;
  std::tie(shape.K, shape.L) = parse_latent(latent);
  shape.pixels = setting.height * setting.width;
  shape.hidden = setting.hidden;
  return shape;
}

/// One layer of categorical variables between the two halves of the VAE's model.
class Categorical : public Task {
 public:
  Categorical(const std::string& latent, const TaskSetting& setting)
      : model_(shape_of(latent, setting)) {}

  NamedTensors encoder() const override {
    const auto& all = model_.named_parameters();
    return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2)};
  }
  NamedTensors decoder() const override {
    const auto& all = model_.named_parameters();
    return {all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end()};
  }
  uint64_t offsets_used(const Estimator& e) const override { return gradthru::offsets_used(e); }

  std::optional<lab::Problem> problem(const Tensor& images) const override {
    const at::NoGradGuard no_grad;
    lab::Problem problem;
    problem.name = "decoupled";
    problem.logits = model_.encode(images);
    problem.f = [this, images](const Tensor& z) {
      const Tensor pixels = model_.decode(z.flatten(0, 1)).view({z.size(0), images.size(0), -1});
      return errors(pixels, images);
    };
    return problem;
  }

 protected:
  /// What the decoder is wrong about each image, [.., B]: pixel logits [.., B, pixels].
  virtual Tensor errors(const Tensor& pixels, const Tensor& images) const = 0;

  Key at_example(Key key, int64_t first) const {
    key.row0 = first * model_.shape().L;
    return key;
  }

  VaeModel model_;
};

class Autoencoder : public Categorical {
 public:
  explicit Autoencoder(const TaskSetting& setting) : Categorical("8x16", setting) {}

  Tensor loss(const LabelledImages& batch, const Estimator& e, const Key& key) const override {
    const Tensor z = sample(model_.encode(batch.images), e, {.key = key}).onehot;
    return errors(model_.decode(z), batch.images).mean();
  }

  Tensor evaluate(const LabelledImages& examples, const Estimator&, double tau, Key key,
                  int64_t first) const override {
    return loss(examples, st({.tau_f = tau}), at_example(key, first)).view({1});
  }

 protected:
  Tensor errors(const Tensor& pixels, const Tensor& images) const override {
    return (pixels.sigmoid() - images).square().mean(-1);
  }
};

class Vae : public Categorical {
 public:
  Vae(const std::string& latent, const TaskSetting& setting)
      : Categorical(latent, setting), kl_at_tau_f_(setting.kl_at_tau_f) {}

  std::vector<std::string> metrics() const override { return {"loss", "recon"}; }

  Tensor loss(const LabelledImages& batch, const Estimator& e, const Key& key) const override {
    return model_.loss(batch.images, e, key, kl_tau(e)).nelbo();
  }

  Tensor evaluate(const LabelledImages& examples, const Estimator& e, double tau, Key key,
                  int64_t first) const override {
    const VaeLoss loss =
        model_.loss(examples.images, st({.tau_f = tau}), at_example(key, first), kl_tau(e));
    return at::stack({loss.nelbo(), loss.recon});
  }

 protected:
  Tensor errors(const Tensor& pixels, const Tensor& images) const override {
    return at::softplus(pixels).sum(-1) - (pixels * images).sum(-1);
  }

 private:
  double kl_tau(const Estimator& e) const { return kl_at_tau_f_ ? traits(e).sampling_tau : 1; }

  bool kl_at_tau_f_;
};

}  // namespace

std::unique_ptr<Task> make_categorical_autoencoder(const TaskSetting& setting) {
  return std::make_unique<Autoencoder>(setting);
}

std::unique_ptr<Task> make_vae(const std::string& latent, const TaskSetting& setting) {
  return std::make_unique<Vae>(latent, setting);
}

}  // namespace gradthru::experiments::decoupled
