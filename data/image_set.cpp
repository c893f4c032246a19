#include "data/image_set.h"

#include <ATen/ops/empty.h>

#include <filesystem>
#include <vector>

#include "data/catalogue.h"
#include "data/checksum.h"
#include "data/digits.h"
#include "data/idx.h"
#include "data/locate.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 28;

at::Tensor to_images(const uint8_t* pixels, int64_t count, int64_t size, float scale) {
  at::Tensor images = at::empty({count, size}, at::kFloat);
  float* out = images.mutable_data_ptr<float>();
  for (int64_t i = 0; i < count * size; ++i) out[i] = static_cast<float>(pixels[i]) / scale;
  return images;
}

at::Tensor to_labels(const uint8_t* classes, int64_t count) {
  at::Tensor labels = at::empty({count}, at::kLong);
  int64_t* out = labels.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) out[i] = classes[i];
  return labels;
}

// The path of the file with this role, after its checksum was found right and noted.
fs::path checked_path(const DataSet& set, FileRole role, const LoadOptions& options,
                      ImageSet& images) {
  const DataFile& file = file_with_role(set, role);
  const fs::path path = require_file(set, file, options.dir);
  if (options.verify) images.sha256[file.name] = verify_file(path, file);
  return path;
}

at::Tensor load_idx_images(const fs::path& path, int64_t wanted) {
  const IdxImages images = read_idx_images(path);
  if (images.count != wanted || images.height != kSide || images.width != kSide) {
    throw InvalidInput("data: file " + path.string() + ": wanted " + std::to_string(wanted) +
                       " images of 28x28, got " + std::to_string(images.count) + " of " +
                       std::to_string(images.height) + "x" + std::to_string(images.width));
  }
  return to_images(images.pixels.data(), images.count, kSide * kSide, 255.0f);
}

at::Tensor load_idx_labels(const fs::path& path) {
  const std::vector<uint8_t> labels = read_idx_labels(path);
  if (labels.empty()) {
    throw InvalidInput("data: file " + path.string() + ": wanted at least one label, got 0");
  }
  return to_labels(labels.data(), static_cast<int64_t>(labels.size()));
}

ImageSet load_idx_set(const DataSet& set, const LoadOptions& options) {
  ImageSet images;
  images.height = images.width = kSide;
  const auto path = [&](FileRole role) { return checked_path(set, role, options, images); };
  // How many there are is the files' word, held to by the checksum where it is verified.
  images.train_labels = load_idx_labels(path(FileRole::kTrainLabels));
  images.test_labels = load_idx_labels(path(FileRole::kTestLabels));
  images.train_images = load_idx_images(path(FileRole::kTrainImages), images.train_labels.size(0));
  images.test_images = load_idx_images(path(FileRole::kTestImages), images.test_labels.size(0));
  return images;
}

ImageSet load_digits(const DataSet& set, const LoadOptions& options) {
  constexpr int64_t kTrain = 1'437;
  constexpr int64_t kTest = kDigitsCount - kTrain;
  constexpr int64_t kPixels = kDigitsSide * kDigitsSide;
  ImageSet images;
  images.height = images.width = kDigitsSide;
  const Digits digits = read_digits(checked_path(set, FileRole::kTable, options, images));
  const uint8_t* pixels = digits.pixels.data();
  images.train_images = to_images(pixels, kTrain, kPixels, 16.0f);
  images.test_images = to_images(pixels + kTrain * kPixels, kTest, kPixels, 16.0f);
  images.train_labels = to_labels(digits.labels.data(), kTrain);
  images.test_labels = to_labels(digits.labels.data() + kTrain, kTest);
  return images;
}

}  // namespace

ImageSet load_images(const std::string& name, const LoadOptions& options) {
  const DataSet& set = find_data_set(name);
  if (set.files.front().role == FileRole::kArchive || set.name == "binarized-mnist") {
    throw InvalidInput("data: wanted a set of labelled images, got " + name);
  }
  return set.name == "digits" ? load_digits(set, options) : load_idx_set(set, options);
}

}  // namespace gradthru::data
