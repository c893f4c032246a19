#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace gradthru::data {

/// Reads a gzip file (one or several members) from its beginning to its end. Unlike zlib's own file
/// functions it takes neither a file that is not compressed nor bytes after the last member.
class GzipReader {
 public:
  /// Errors: InvalidInput where the file cannot be opened.
  explicit GzipReader(std::filesystem::path file);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Reads `size` bytes into `out`, fewer only at the end of the stream; returns how many.
  /// Errors: InvalidInput for a file that is not gzip, is cut short, or is damaged. The check sum
  /// at a member's end is seen only by a read that reaches beyond the last byte.
  size_t read(uint8_t* out, size_t size);

  /// "data: file /x/y.gz: ": how every message about this file begins.
  std::string message_start() const;

 private:
  struct Stream;
  void refill();

  std::filesystem::path file_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace gradthru::data
