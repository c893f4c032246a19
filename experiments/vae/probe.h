#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>

#include "experiments/vae/model.h"
#include "lab/problem.h"

namespace gradthru::experiments {

/// The reconstruction loss of a VAE as a problem for the lab, in float64: row b is image b of
/// [B, pixels], its logits those of the encoder, f the loss of the decoder, summed over pixels. The
/// weights are a copy of the model's.
lab::Problem vae_problem(const VaeModel& model, const at::Tensor& images);

/// That of the last checkpoint in the folder of a run, on the first training images in file order.
/// Errors: InvalidInput for a folder without a run of `vae` or `vae-probe`, too many codes to
///   enumerate, or fewer images.
lab::Problem vae_probe(const std::filesystem::path& run, int64_t images);

}  // namespace gradthru::experiments
