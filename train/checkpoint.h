#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "gradthru/error.h"

namespace gradthru::train {

/// The state of a run under free names. Format on disc: PyTorch's zip container with one raw
/// little-endian record per tensor and a JSON manifest; nothing in it is ever executed.
struct Checkpoint {
  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, int64_t> integers;
  std::map<std::string, double> numbers;     ///< kept exactly, also infinities and NaN
  std::map<std::string, std::string> texts;  ///< UTF-8
  std::string config_sha256;

  // The entry of this name. Errors: InvalidInput naming the entry if it is missing: the file comes
  // from another experiment.
  const at::Tensor& tensor(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  double number(const std::string& name) const;
  const std::string& text(const std::string& name) const;
};

/// Writes the checkpoint under a temporary name, syncs and renames it. The folder must exist.
///
/// Dtypes: bool, uint8, int8 … int64, float16, bfloat16, float32, float64; dense, any device.
/// Errors: std::system_error with the path (disc full …); the file that was there stays.
void save(const Checkpoint& checkpoint, const std::filesystem::path& path);

/// Reads a checkpoint; tensors are fresh, contiguous, on the CPU.
///
/// Errors: InvalidInput, one line with the path, for a missing, truncated, changed or foreign file:
/// every record is checked against its size and SHA-256 before anything is handed out.
Checkpoint load(const std::filesystem::path& path);

}  // namespace gradthru::train
