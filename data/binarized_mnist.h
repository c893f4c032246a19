#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

#include "data/image_set.h"

namespace gradthru::data {

/// MNIST with a fixed binarisation: images of 28x28 without labels, [N, 784] uint8 of 0 or 1, in
/// the order of the files.
struct BinarizedMnist {
  at::Tensor train, valid, test;
  std::map<std::string, std::string> sha256;  ///< file -> hash; empty where it was not verified
};

/// Reads rows of 784 digits 0 or 1, separated by blanks, compressed by gzip or not.
/// Errors: InvalidInput for a file that cannot be read or is damaged, without a row, and with the
///   line number (from 1) for a row of another length or another character.
at::Tensor read_binary_rows(const std::filesystem::path& file);

/// Reads the set `binarized-mnist`: 50,000 / 10,000 / 10,000 images.
/// Errors: InvalidInput for a missing file, a wrong checksum, and what is wrong inside a file.
/// Source: H. Larochelle, I. Murray, "The Neural Autoregressive Distribution Estimator", 2011.
BinarizedMnist load_binarized_mnist(const LoadOptions& options = {});

}  // namespace gradthru::data
