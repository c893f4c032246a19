#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/catalogue.h"

namespace gradthru::data {

/// SHA-256 in lower-case hexadecimal.
std::string sha256_hex(std::string_view bytes);

/// SHA-256 of a file's content in lower-case hexadecimal.
/// Errors: InvalidInput where the file cannot be read.
std::string sha256_of_file(const std::filesystem::path& file);

enum class Hashing {
  kCached,  ///< believe the remembered hash of a file whose path, size and mtime are as they were
  kFresh    ///< read the file
};

/// The SHA-256 of a file, remembered as verify_file() does.
/// Errors: InvalidInput where the file cannot be read.
std::string remembered_sha256(const std::filesystem::path& file);

/// Checks size and SHA-256 of `file` against the catalogue and returns the SHA-256. Hashes are
/// remembered in `checksums.json` in cache_root(); a cache that is absent, broken or not writable
/// only costs time. Of a file `<name>.gz` that is wanted
/// as `<name>` the content is looked at.
/// Errors: InvalidInput with file, wanted and got.
std::string verify_file(const std::filesystem::path& file, const DataFile& wanted,
                        Hashing hashing = Hashing::kCached);

}  // namespace gradthru::data
