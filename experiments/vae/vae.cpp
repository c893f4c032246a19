#include "experiments/vae/vae.h"

#include "experiments/latent.h"
#include "experiments/vae/setup.h"
#include "experiments/vae/training.h"
#include "experiments/vae/tuned.h"

namespace gradthru::experiments {
namespace {

using train::Config;

/// The method in its published single-temperature form, its other settings kept.
Estimator at_tau(const Estimator& e, double tau) {
  Parameters parameters;
  for (const auto& key : about(e.method).parameters) {
    if (key == "gap") parameters.gap = e.gap;
    if (key == "samples") parameters.samples = e.samples;
    if (key == "alpha") parameters.alpha = e.alpha;
    if (key == "t") parameters.t = e.t;
    if (key == "eta") parameters.eta = e.eta;
    if (key == "draw") parameters.draw = e.draw;
    if (key == "values") parameters.values = e.values;
    if (key == "consistent") parameters.consistent = e.consistent;
    if (key == "detach") parameters.detach = e.detach;
    if (key == "hard") parameters.hard = e.hard;
  }
  parameters.tau = tau;
  return make_estimator(e.method, parameters);
}

/// The tuned optimiser where none was asked for, and the tuned temperature where one is wanted.
Estimator resolve(Config& config, const Estimator& estimator) {
  parse_latent(config.text("latent"));  // refuses what cannot be run
  if (about(estimator.method).family == Family::score) {
    throw InvalidInput(
        "vae: wanted an estimator that takes the gradient at the sample, such as "
        "reinmax(1.3), got '" +
        to_string(estimator) + "', which takes values");
  }
  const Tuned choice = tuned(estimator.method, config.text("latent"));
  if (!config.has_been_set("optimiser.name")) config.set("optimiser.name=" + choice.optimiser);
  if (!config.has_been_set("optimiser.lr")) config.set("optimiser.lr=" + choice.lr);
  const bool wanted = config.boolean("tuned_tau");
  config.set("tuned_tau=false");  // the configuration of the run says the temperature itself
  return wanted && choice.tau ? at_tau(estimator, *choice.tau) : estimator;
}

}  // namespace

Experiment vae() {
  return {.name = "vae",
          .summary = "categorical VAE on grey images: six latent sizes, any estimator",
          .keys = vae_keys(),
          .resolve = resolve,
          .start = start_on_images<VaeTraining>,
          .columns = {"train_nelbo", "test_nelbo", "test_recon", "test_kl", "test_nelbo_exact",
                      "test_nll"}};
}

}  // namespace gradthru::experiments
