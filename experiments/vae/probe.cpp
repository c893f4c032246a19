#include "experiments/vae/probe.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <string>

#include "experiments/experiment.h"
#include "experiments/vae/exact_bound.h"
#include "experiments/vae/setup.h"
#include "experiments/vae/vae.h"
#include "train/checkpoint.h"

namespace gradthru::experiments {
lab::Problem vae_probe(const std::filesystem::path& run, int64_t images) {
  const train::Config config = config_of_run(vae(), run);
  const auto set = images_of(config);
  if (images < 1 || images > set->train_images.size(0)) {
    throw InvalidInput("--images must be in [1, " + std::to_string(set->train_images.size(0)) +
                       "], got " + std::to_string(images));
  }
  VaeModel model(shape_of(config, set->train_images.size(1)));
  if (model.shape().codes(kEnumerationLimit) < 0) {
    throw InvalidInput("--run: the exact gradient of latent " + config.text("latent") +
                       " needs more than " + std::to_string(kEnumerationLimit) + " codes");
  }
  model.restore(train::load(run / "checkpoint" / "last.pt"), at::kDouble);
  const at::NoGradGuard no_grad;
  const at::Tensor x = first_of(set->train_images, images).to(at::kDouble);
  lab::Problem problem;
  problem.name = run.string();
  problem.logits = model.encode(x);
  problem.f = [model, x](const at::Tensor& z) {
    const at::Tensor pixels = model.decode(z.flatten(0, 1)).view({z.size(0), x.size(0), -1});
    // Cross-entropy with soft targets: softplus(a) - x a.
    return at::softplus(pixels).sum(-1) - (pixels * x).sum(-1);
  };
  return problem;
}

}  // namespace gradthru::experiments
