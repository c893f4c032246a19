#pragma once

#include <cstdint>
#include <filesystem>

#include "lab/problem.h"

namespace gradthru::experiments {

/// The reconstruction loss of a trained VAE as a problem for the lab, in float64: row b is training
/// image b in file order, its logits those of the encoder, f the loss of the decoder, summed over
/// pixels. The weights are those of the last checkpoint in the folder of a run.
/// Errors: InvalidInput for a folder without a run of `vae`, too many codes to enumerate, or fewer
///   images.
lab::Problem vae_probe(const std::filesystem::path& run, int64_t images);

}  // namespace gradthru::experiments
