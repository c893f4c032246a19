#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "data/image_set.h"
#include "experiments/vae/model.h"
#include "train/config.h"

// What a configuration of the VAE says, made.
namespace gradthru::experiments {

/// The keys besides `methods` and `seeds`.
std::vector<train::ConfigKey> vae_keys();

VaeShape shape_of(const train::Config& config, int64_t pixels);

/// Loads each data set once per process: the runs of a sweep share it.
/// Errors: InvalidInput as data::load_images().
std::shared_ptr<const data::ImageSet> images_of(const train::Config& config);

/// The first `limit` images; all of them if it is 0.
at::Tensor first_of(const at::Tensor& images, int64_t limit);

}  // namespace gradthru::experiments
