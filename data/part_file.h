#pragma once

#include <cstdint>
#include <filesystem>

namespace gradthru::data {

/// A download in progress: `<file>.part`, locked against a second download of the same file. It
/// keeps what an earlier, interrupted download left, and disappears again where it stays empty.
class PartFile {
 public:
  /// Opens or makes `<file>.part` and the folders above it.
  /// Errors: std::runtime_error where that is not possible, or another process has the lock.
  explicit PartFile(std::filesystem::path file);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }

  /// Throws the content away. Errors: std::runtime_error.
  void clear();

  /// Writes through to the system, so that a killed process loses nothing. Returns false on
  /// failure, with the reason in errno: it is called from C, which exceptions may not cross.
  bool append(const char* bytes, size_t count) noexcept;

  /// Syncs the content and gives it its final name. Errors: std::runtime_error.
  void publish();

 private:
  [[noreturn]] void fail() const;

  std::filesystem::path file_;
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace gradthru::data
