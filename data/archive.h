#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace gradthru::data {

/// Reads a tar archive, compressed by gzip or not, and hands every file in it to `take`: its path
/// in the archive, and its bytes. Memory: that of one file, at most 1 MiB. Errors: InvalidInput
/// with the archive's path: it cannot be read, is no archive, is cut short or
///   damaged, or holds a larger file.
void for_each_file(
    const std::filesystem::path& archive,
    const std::function<void(const std::string& path, const std::string& bytes)>& take);

}  // namespace gradthru::data
