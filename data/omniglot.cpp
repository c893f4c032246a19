#include "data/omniglot.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include "data/archive.h"
#include "data/catalogue.h"
#include "data/checksum.h"
#include "data/locate.h"
#include "data/part_file.h"
#include "data/png.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPixels = kOmniglotSide * kOmniglotSide;

// Of the published images: how many, and the SHA-256 of their values in the order of their paths
// and of each part.
constexpr int64_t kImages = 32'460, kTrain = 23'000, kValid = 1'345;
constexpr const char* kValuesSha256 =
    "da16123c4956c6ae54678b30e50726cade49d77830a2f23d372ddf71d46268c8";
constexpr const char* kPartSha256[] = {
    "a37e9f8acfc1c622797f5d4aaf39e3c5ebaa78177fbacdc2024025464bd923a2",
    "a82c81b9384539560fc767481650b637ea9c1e6ff0ba994df03bb2e2515d410b",
    "978d400e921758e2a40f962c206551ae50dacda6757bfb0bedeeb1579ad4fe11"};

/// Values of all images, kPixels bytes each.
using Values = std::string;

/// Images of the three parts, which follow each other.
std::array<int64_t, 3> part_sizes(int64_t images) {
  const int64_t valid = std::max<int64_t>(1, images * kValid / kImages);
  const int64_t train = std::max<int64_t>(1, images * kTrain / kImages);
  return {train, valid, images - train - valid};
}

struct Drawing {
  std::string path;
  std::array<uint8_t, kPixels> values;
};

std::array<uint8_t, kPixels> values_of(const std::string& png, const std::string& where) {
  GreyImage image = decode_png(png, where);
  if (image.height != kOmniglotDrawn || image.width != kOmniglotDrawn) {
    throw InvalidInput(where + ": wanted an image of 105x105, got " + std::to_string(image.height) +
                       "x" + std::to_string(image.width));
  }
  for (uint8_t& pixel : image.pixels) {
    if (pixel != 0 && pixel != 255) {
      throw InvalidInput(where + ": wanted black and white pixels, got grey " +
                         std::to_string(pixel) + " of 255");
    }
    pixel = pixel == 0;
  }
  return shrink_ink(image.pixels);
}

std::vector<Drawing> read_drawings(const fs::path& archive) {
  const std::string start = "data: file " + archive.string() + ": ";
  std::vector<Drawing> drawings;
  for_each_file(archive, [&](const std::string& path, const std::string& bytes) {
    if (path.ends_with(".png")) drawings.push_back({path, values_of(bytes, start + path)});
  });
  std::sort(drawings.begin(), drawings.end(),
            [](const Drawing& a, const Drawing& b) { return a.path < b.path; });
  for (size_t i = 1; i < drawings.size(); ++i) {
    if (drawings[i].path == drawings[i - 1].path) {
      throw InvalidInput(start + "holds " + drawings[i].path + " twice");
    }
  }
  if (drawings.size() < 4) {
    throw InvalidInput(start + "wanted at least 4 PNG images, got " +
                       std::to_string(drawings.size()));
  }
  return drawings;
}

Values joined(const std::vector<Drawing>& drawings) {
  Values all;
  all.reserve(drawings.size() * kPixels);
  for (const Drawing& drawing : drawings) all.append(drawing.values.begin(), drawing.values.end());
  return all;
}

/// In the order of the parts.
Values shuffled(std::vector<Drawing> drawings) {
  std::vector<std::pair<std::string, const Drawing*>> order;
  for (const Drawing& drawing : drawings) order.emplace_back(sha256_hex(drawing.path), &drawing);
  std::sort(order.begin(), order.end());
  Values all;
  all.reserve(order.size() * kPixels);
  for (const auto& entry : order) {
    all.append(entry.second->values.begin(), entry.second->values.end());
  }
  return all;
}

/// Whether these are the published images, in the order of the parts.
bool are_published(const Values& values) {
  if (values.size() != kImages * kPixels) return false;
  size_t start = 0;
  for (size_t part = 0; part < 3; ++part) {
    const auto size = static_cast<size_t>(part_sizes(kImages)[part] * kPixels);
    if (sha256_hex(std::string_view(values).substr(start, size)) != kPartSha256[part]) return false;
    start += size;
  }
  return true;
}

std::optional<fs::path> cache_file(const std::string& archive_sha256) {
  const auto root = cache_root();
  if (!root) return std::nullopt;
  return *root / "converted" / ("omniglot-28x28-" + archive_sha256 + ".bin");
}

std::optional<Values> read_cache(const std::string& archive_sha256) {
  const auto file = cache_file(archive_sha256);
  if (!file) return std::nullopt;
  std::ifstream stream(*file, std::ios::binary);
  Values values(kImages * kPixels, '\0');
  if (!stream.read(values.data(), static_cast<std::streamsize>(values.size()))) return std::nullopt;
  if (stream.peek() != std::ifstream::traits_type::eof()) return std::nullopt;
  return are_published(values) ? std::optional(std::move(values)) : std::nullopt;
}

void write_cache(const std::string& archive_sha256, const Values& values) {
  const auto file = cache_file(archive_sha256);
  if (!file) return;
  try {
    PartFile part(*file);
    part.clear();
    if (part.append(values.data(), values.size())) part.publish();
  } catch (const std::exception&) {  // converted again next time
  }
}

Values published_values(const fs::path& archive, const std::string& archive_sha256) {
  if (auto kept = read_cache(archive_sha256)) return std::move(*kept);
  std::vector<Drawing> drawings = read_drawings(archive);
  const std::string sha256 = sha256_hex(joined(drawings));
  Values values = shuffled(std::move(drawings));
  // The order of the parts depends on the paths as well.
  if (sha256 != kValuesSha256 || !are_published(values)) {
    throw InvalidInput("data: file " + archive.string() +
                       ": wanted the published images, whose values of 28x28 have SHA-256 " +
                       kValuesSha256 + ", got " + std::to_string(values.size() / kPixels) +
                       " images with " + sha256 +
                       (sha256 == kValuesSha256 ? ", in other folders" : ""));
  }
  write_cache(archive_sha256, values);
  return values;
}

}  // namespace

std::array<uint8_t, kPixels> shrink_ink(const std::vector<uint8_t>& ink) {
  // In quarters of a drawn pixel, of which a shrunk one has 15 in each direction.
  constexpr int64_t kDrawn = 4, kShrunk = 15;
  std::array<int, kPixels> sums{};
  const auto overlap = [](int64_t drawn, int64_t shrunk) {
    const int64_t begin = std::max(kDrawn * drawn, kShrunk * shrunk);
    const int64_t end = std::min(kDrawn * (drawn + 1), kShrunk * (shrunk + 1));
    return static_cast<int>(std::max<int64_t>(0, end - begin));
  };
  for (int64_t y = 0; y < kOmniglotDrawn; ++y) {
    for (int64_t x = 0; x < kOmniglotDrawn; ++x) {
      if (ink[static_cast<size_t>(y * kOmniglotDrawn + x)] == 0) continue;
      // A drawn pixel lies in one shrunk one, or in that and the next.
      const int64_t row = kDrawn * y / kShrunk, column = kDrawn * x / kShrunk;
      for (int64_t i = row; i < std::min(row + 2, kOmniglotSide); ++i) {
        for (int64_t j = column; j < std::min(column + 2, kOmniglotSide); ++j) {
          sums[static_cast<size_t>(i * kOmniglotSide + j)] += overlap(y, i) * overlap(x, j);
        }
      }
    }
  }
  std::array<uint8_t, kPixels> result{};
  std::transform(sums.begin(), sums.end(), result.begin(),
                 [](int sum) { return static_cast<uint8_t>(sum); });
  return result;
}

Omniglot load_omniglot(const LoadOptions& options) {
  const DataSet& set = find_data_set("omniglot");
  const DataFile& file = file_with_role(set, FileRole::kArchive);
  const fs::path path = require_file(set, file, options.dir);
  Omniglot result;
  Values values;
  if (options.verify) {
    result.sha256[file.name] = remembered_sha256(path);
    values = published_values(path, result.sha256[file.name]);
  } else {
    values = shuffled(read_drawings(path));
  }
  const auto images = static_cast<int64_t>(values.size()) / kPixels;
  const at::Tensor all = at::from_blob(values.data(), {images, kPixels}, at::kByte).clone();
  const auto parts = all.split_with_sizes(part_sizes(images));
  result.train = parts[0];
  result.valid = parts[1];
  result.test = parts[2];
  return result;
}

}  // namespace gradthru::data
