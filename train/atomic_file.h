#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace gradthru::train {

/// A file that appears whole or not at all: written beside its place under `<path>.tmp`, synced,
/// renamed, and the folder synced. Without commit() the old file stays and the temporary goes.
///
/// Errors: std::system_error with the path and the system's words (disc full, unwritable …).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, size_t size);
  void commit();

 private:
  [[noreturn]] void fail(int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// Replaces the file by these bytes in one step.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

/// Writes all bytes to a descriptor, going on after short writes and signals. Returns 0 or errno.
int write_fully(int descriptor, const void* bytes, size_t size);

}  // namespace gradthru::train
