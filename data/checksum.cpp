#include "data/checksum.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <vector>

#include "data/gzip.h"
#include "data/locate.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kCacheVersion = 1;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    require(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void add(const void* bytes, size_t size) {
    require(EVP_DigestUpdate(context_.get(), bytes, size) == 1);
  }

  std::string finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    require(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      text += kDigits[digest[i] >> 4];
      text += kDigits[digest[i] & 15];
    }
    return text;
  }

 private:
  static void require(bool done) {
    if (!done) throw std::runtime_error("data: OpenSSL cannot compute SHA-256");
  }

  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// Of what is compressed in a gzip file.
std::string sha256_of_content(const fs::path& file) {
  GzipReader reader(file);
  std::vector<uint8_t> buffer(size_t{1} << 18);
  Sha256 hash;
  while (const size_t count = reader.read(buffer.data(), buffer.size())) {
    hash.add(buffer.data(), count);
  }
  return hash.finish();
}

// What must be unchanged for a remembered hash to hold.
struct Stamp {
  uint64_t size;
  int64_t mtime_ns;
  bool operator==(const Stamp&) const = default;
};

std::optional<Stamp> stamp_of(const fs::path& file) {
  std::error_code size_error, time_error;
  const uint64_t size = fs::file_size(file, size_error);
  const auto mtime = fs::last_write_time(file, time_error);
  if (size_error || time_error) return std::nullopt;
  return Stamp{size, std::chrono::nanoseconds(mtime.time_since_epoch()).count()};
}

// A file written a moment ago may be written again within one tick of its file system's clock.
bool is_settled(const Stamp& stamp) {
  const auto now = fs::file_time_type::clock::now().time_since_epoch();
  return std::chrono::nanoseconds(now).count() - stamp.mtime_ns > 2'000'000'000;
}

std::optional<fs::path> cache_file() {
  const auto root = cache_root();
  return root ? std::optional(*root / "checksums.json") : std::nullopt;
}

json read_cache() {
  const auto path = cache_file();
  if (path) {
    std::ifstream stream(*path);
    json cache = json::parse(stream, nullptr, false);
    if (cache.is_object() && cache.value("v", json()) == kCacheVersion &&
        cache.value("files", json()).is_object()) {
      return cache;
    }
  }
  return {{"v", kCacheVersion}, {"files", json::object()}};
}

std::optional<std::string> remembered_hash(const std::string& key, const Stamp& stamp) {
  const json cache = read_cache();
  const json& files = cache["files"];
  const auto entry = files.find(key);
  if (entry == files.end() || !entry->is_object()) return std::nullopt;
  const json sha256 = entry->value("sha256", json());
  if (entry->value("size", json()) != stamp.size || !sha256.is_string() ||
      entry->value("mtime_ns", json()) != stamp.mtime_ns) {
    return std::nullopt;
  }
  return sha256.get<std::string>();
}

// Written beside and renamed, so that a reader never sees half a cache. Every failure is ignored:
// the next run hashes again.
void remember_hash(const std::string& key, const Stamp& stamp, const std::string& sha256) {
  const auto path = cache_file();
  if (!path) return;
  std::error_code error;
  fs::create_directories(path->parent_path(), error);
  json cache = read_cache();
  cache["files"][key] = {{"size", stamp.size}, {"mtime_ns", stamp.mtime_ns}, {"sha256", sha256}};
  const fs::path unfinished = path->string() + "." + std::to_string(getpid());
  std::ofstream stream(unfinished);
  stream << cache.dump(1) << '\n';
  stream.close();
  if (stream) fs::rename(unfinished, *path, error);
  if (!stream || error) fs::remove(unfinished, error);
}

std::string hash_with_cache(const fs::path& file, Hashing hashing, bool content) {
  std::error_code error;
  const std::string key = fs::weakly_canonical(file, error).string() + (content ? "#content" : "");
  const auto before = stamp_of(file);
  if (hashing == Hashing::kCached && before && !error) {
    try {
      if (const auto sha256 = remembered_hash(key, *before)) return *sha256;
    } catch (const std::exception&) {  // not a cache of ours: as good as none
    }
  }
  const std::string sha256 = content ? sha256_of_content(file) : sha256_of_file(file);
  if (before && !error && stamp_of(file) == before && is_settled(*before)) {
    try {
      remember_hash(key, *before, sha256);
    } catch (const std::exception&) {  // such as a path that is not UTF-8: hashed again next time
    }
  }
  return sha256;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.finish();
}

std::string sha256_of_file(const fs::path& file) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "rb"),
                                                               &std::fclose);
  std::vector<char> buffer(size_t{1} << 18);
  Sha256 hash;
  while (stream != nullptr) {
    const size_t count = std::fread(buffer.data(), 1, buffer.size(), stream.get());
    if (std::ferror(stream.get()) != 0) break;
    if (count == 0) return hash.finish();
    hash.add(buffer.data(), count);
  }
  throw InvalidInput("data: file " + file.string() + ": cannot be read: " + std::strerror(errno));
}

std::string remembered_sha256(const fs::path& file) {
  return hash_with_cache(file, Hashing::kCached, false);
}

std::string verify_file(const fs::path& file, const DataFile& wanted, Hashing hashing) {
  const std::string start = "data: file " + file.string() + ": wanted ";
  std::error_code error;
  const uint64_t size = fs::file_size(file, error);
  const bool compressed = file.extension() == ".gz" && !wanted.name.ends_with(".gz");
  if (!error && !compressed && size != wanted.size) {
    throw InvalidInput(start + std::to_string(wanted.size) + " bytes, got " + std::to_string(size));
  }
  const std::string sha256 = hash_with_cache(file, hashing, compressed);
  if (sha256 != wanted.sha256) {
    throw InvalidInput(start + "SHA-256 " + wanted.sha256 + ", got " + sha256);
  }
  return sha256;
}

}  // namespace gradthru::data
