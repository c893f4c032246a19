#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <new>

#include "gradthru/error.h"

namespace gradthru::data {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 20;

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw InvalidInput("data: file " + file.string() + ": " + what);
}

std::string reason(archive* reader) {
  const char* text = archive_error_string(reader);
  return text == nullptr ? "unknown damage" : text;
}

/// The bytes of the entry that was just entered.
std::string bytes_of(archive* reader, archive_entry* entry, const std::filesystem::path& file) {
  const int64_t size = archive_entry_size(entry);
  const std::string name = archive_entry_pathname(entry);
  if (size > kMostBytes) {
    fail(file, name + ": wanted at most 1 MiB, got " + std::to_string(size) + " bytes");
  }
  std::string bytes(static_cast<size_t>(size), '\0');
  const auto got = archive_read_data(reader, bytes.data(), bytes.size());
  if (got < 0) fail(file, name + ": " + reason(reader));
  if (got != size) {
    fail(file, name + ": wanted " + std::to_string(size) + " bytes, got " + std::to_string(got));
  }
  return bytes;
}

}  // namespace

void for_each_file(const std::filesystem::path& file,
                   const std::function<void(const std::string&, const std::string&)>& take) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), &archive_read_free);
  if (reader == nullptr) throw std::bad_alloc();
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_tar(reader.get());
  constexpr size_t kBlock = size_t{1} << 16;
  if (archive_read_open_filename(reader.get(), file.c_str(), kBlock) != ARCHIVE_OK) {
    fail(file, "wanted a tar archive: " + reason(reader.get()));
  }
  archive_entry* entry = nullptr;
  for (;;) {
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) return;
    if (status != ARCHIVE_OK) fail(file, "wanted a whole tar archive: " + reason(reader.get()));
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    take(archive_entry_pathname(entry), bytes_of(reader.get(), entry, file));
  }
}

}  // namespace gradthru::data
