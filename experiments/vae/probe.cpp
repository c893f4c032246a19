#include "experiments/vae/probe.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <string>

#include "experiments/experiment.h"
#include "experiments/vae-probe/vae_probe.h"
#include "experiments/vae/exact_bound.h"
#include "experiments/vae/setup.h"
#include "lab/functions.h"
#include "train/checkpoint.h"

namespace gradthru::experiments {

namespace {

/// The loss of every image at every code, [codes, B]: softplus(a) - x a, summed over pixels.
at::Tensor losses(const VaeModel& model, const at::Tensor& images) {
  const at::Tensor pixels =
      model.decode(all_codes(model.shape().K, model.shape().L).to(at::kDouble));
  return at::softplus(pixels).sum(1, true) - pixels.matmul(images.t());
}

}  // namespace

lab::Problem vae_problem(const VaeModel& trained, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const VaeModel model = trained.copy(at::kDouble);
  const at::Tensor x = images.to(at::kDouble), known = losses(model, x);
  lab::Problem problem;
  problem.name = "vae";
  problem.logits = model.encode(x);
  problem.f = [=](const at::Tensor& z) {
    // One-hots: a state has one of the known values.
    if (!z.requires_grad()) return known.gather(0, lab::state_of(z));
    const at::Tensor pixels = model.decode(z.flatten(0, 1)).view({z.size(0), x.size(0), -1});
    return at::softplus(pixels).sum(-1) - (pixels * x).sum(-1);
  };
  problem.known_slopes = [=](const at::Tensor& index) {
    return model.slopes(at::one_hot(index, model.shape().K).to(at::kDouble), x);
  };
  return problem;
}

lab::Problem vae_probe(const std::filesystem::path& run, int64_t images) {
  // The keys of vae-probe are those of vae and more.
  const train::Config config = config_of_run(vae_probe_experiment(), run);
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
  model.restore(train::load(run / "checkpoint" / "last.pt"));
  lab::Problem problem = vae_problem(model, first_of(set->train_images, images));
  problem.name = run.string();
  return problem;
}

}  // namespace gradthru::experiments
