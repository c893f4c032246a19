#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "data/image_set.h"

namespace gradthru::data {

constexpr int64_t kCifarSide = 32;
constexpr int64_t kCifarChannels = 3;
constexpr int64_t kCifarRecords = 10'000;  ///< in each file as its authors published it

/// Colour images with a label each, in the order of the file.
struct CifarImages {
  at::Tensor images;  ///< [N, 3, 32, 32] uint8
  at::Tensor labels;  ///< [N] int64
};

/// Reads a file of CIFAR-10's binary version: records of a label byte and the red, green and blue
/// plane, row by row.
/// Errors: InvalidInput with file, wanted and got: a file that cannot be read, no record or no
///   whole number of them, a label above 9 with its record number from 0.
/// Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
CifarImages read_cifar_file(const std::filesystem::path& file);

/// CIFAR-10, which users bring themselves.
struct Cifar {
  CifarImages train;                          ///< of data_batch_1.bin .. data_batch_5.bin
  CifarImages test;                           ///< of test_batch.bin
  std::map<std::string, std::string> sha256;  ///< file -> hash, of what was read
};

/// Reads the six files of the folder `cifar-10-batches-bin` in the place of the data sets.
/// Nothing is known of their hashes; with `verify` every file must have 10,000 records.
/// Errors: InvalidInput for a missing file, a wrong count, and what is wrong inside a file.
Cifar load_cifar(const LoadOptions& options = {});

}  // namespace gradthru::data
