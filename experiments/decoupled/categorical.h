#pragma once

#include <memory>
#include <string>

#include "experiments/decoupled/task.h"

namespace gradthru::experiments::decoupled {

/// 16 variables of 8 categories between pixels-hidden-128 and its mirror, sigmoid, squared error.
std::unique_ptr<Task> make_categorical_autoencoder(const TaskSetting& setting);

/// The VAE of the experiment `vae` with this latent. Metrics: the loss, which is the negative ELBO,
/// and `recon`, its first part.
std::unique_ptr<Task> make_vae(const std::string& latent, const TaskSetting& setting);

}  // namespace gradthru::experiments::decoupled
