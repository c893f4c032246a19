#include "data/idx.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "data/gzip.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;

struct Kind {
  uint32_t magic;
  const char* name;
  size_t dimensions;
};
constexpr Kind kImages{0x803, "images", 3};
constexpr Kind kLabels{0x801, "labels", 1};

std::string hexadecimal(uint32_t number) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%x", number);
  return text;
}

uint32_t read_number(GzipReader& reader, const Kind& kind) {
  uint8_t bytes[4];
  if (reader.read(bytes, sizeof bytes) != sizeof bytes) {
    throw InvalidInput(reader.message_start() + "wanted a header of " +
                       std::to_string(4 * (1 + kind.dimensions)) + " bytes, got fewer");
  }
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

std::vector<uint32_t> read_sizes(GzipReader& reader, const Kind& kind) {
  const uint32_t magic = read_number(reader, kind);
  if (magic != kind.magic) {
    throw InvalidInput(reader.message_start() + "wanted magic " + hexadecimal(kind.magic) + " (" +
                       kind.name + "), got " + hexadecimal(magic));
  }
  std::vector<uint32_t> sizes(kind.dimensions);
  for (uint32_t& size : sizes) size = read_number(reader, kind);
  return sizes;
}

std::string join(const std::vector<uint32_t>& sizes) {
  std::string text;
  for (const uint32_t size : sizes) {
    if (!text.empty()) text += 'x';
    text += std::to_string(size);
  }
  return text;
}

uint64_t count_bytes(const GzipReader& reader, const std::vector<uint32_t>& sizes) {
  uint64_t bytes = 1;
  for (const uint32_t size : sizes) {
    if (size == 0) {
      throw InvalidInput(reader.message_start() + "wanted sizes > 0, got " + join(sizes));
    }
    // Checked factor by factor: the product of three sizes need not fit in 64 bits.
    if (bytes > kMostBytes / size) {
      throw InvalidInput(reader.message_start() + "wanted at most " + std::to_string(kMostBytes) +
                         " bytes, got a header that says " + join(sizes));
    }
    bytes *= size;
  }
  return bytes;
}

// Grows as bytes arrive, so that a header alone cannot make us allocate.
std::vector<uint8_t> read_payload(GzipReader& reader, const std::vector<uint32_t>& sizes) {
  constexpr uint64_t kChunk = uint64_t{1} << 20;
  const uint64_t wanted = count_bytes(reader, sizes);
  std::vector<uint8_t> payload;
  while (payload.size() < wanted) {
    const size_t start = payload.size();
    const size_t chunk = std::min<uint64_t>(kChunk, wanted - start);
    payload.resize(start + chunk);
    const size_t got = reader.read(payload.data() + start, chunk);
    if (got < chunk) {
      throw InvalidInput(reader.message_start() + "wanted " + std::to_string(wanted) +
                         " bytes after the header (" + join(sizes) + "), got " +
                         std::to_string(start + got));
    }
  }
  uint8_t beyond;
  if (reader.read(&beyond, 1) != 0) {
    throw InvalidInput(reader.message_start() + "wanted " + std::to_string(wanted) +
                       " bytes after the header (" + join(sizes) + "), got more");
  }
  return payload;
}

}  // namespace

IdxImages read_idx_images(const std::filesystem::path& file) {
  GzipReader reader(file);
  const std::vector<uint32_t> sizes = read_sizes(reader, kImages);
  return {sizes[0], sizes[1], sizes[2], read_payload(reader, sizes)};
}

std::vector<uint8_t> read_idx_labels(const std::filesystem::path& file, int classes) {
  GzipReader reader(file);
  const std::vector<uint32_t> sizes = read_sizes(reader, kLabels);
  std::vector<uint8_t> labels = read_payload(reader, sizes);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < classes) continue;
    throw InvalidInput(reader.message_start() + "record " + std::to_string(i) +
                       ": wanted a label from 0 to " + std::to_string(classes - 1) + ", got " +
                       std::to_string(labels[i]));
  }
  return labels;
}

}  // namespace gradthru::data
