#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "data/image_set.h"
#include "experiments/experiment.h"
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

/// A training made from the plan and the images that it names.
template <typename Training>
StartedRun start_on_images(const RunPlan& plan) {
  const auto images = images_of(plan.config);
  return {std::make_unique<Training>(plan, *images),
          {images->sha256.begin(), images->sha256.end()}};
}

}  // namespace gradthru::experiments
