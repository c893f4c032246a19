#include "data/cifar.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <fstream>
#include <vector>

#include "data/catalogue.h"
#include "data/checksum.h"
#include "data/locate.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPixels = kCifarChannels * kCifarSide * kCifarSide;
constexpr int64_t kRecord = 1 + kPixels;
constexpr int kClasses = 10;

[[noreturn]] void fail(const fs::path& file, const std::string& what) {
  throw InvalidInput("data: file " + file.string() + ": " + what);
}

std::vector<char> read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) fail(path, "cannot be read");
  const std::streamoff size = file.tellg();
  if (size <= 0 || size % kRecord != 0) {
    fail(path, "wanted records of " + std::to_string(kRecord) + " bytes, got " +
                   std::to_string(size) + " bytes");
  }
  std::vector<char> bytes(static_cast<size_t>(size));
  file.seekg(0);
  if (!file.read(bytes.data(), size)) fail(path, "cannot be read");
  return bytes;
}

/// The set is no part of the catalogue: it cannot be fetched, and its hashes are not known.
DataSet description() {
  DataSet set{.name = "cifar-10-batches-bin",
              .licence = "",
              .files = {},
              .mirrors = {},
              .source =
                  "unpack the binary version of CIFAR-10 (cifar-10-binary.tar.gz, from "
                  "www.cs.toronto.edu/~kriz/cifar.html) into that folder"};
  for (int i = 1; i <= 5; ++i) {
    set.files.push_back({"data_batch_" + std::to_string(i) + ".bin", kCifarRecords * kRecord, "",
                         FileRole::kTrainImages});
  }
  set.files.push_back({"test_batch.bin", kCifarRecords * kRecord, "", FileRole::kTestImages});
  return set;
}

CifarImages load_file(const DataSet& set, const DataFile& file, const LoadOptions& options,
                      Cifar& cifar) {
  const fs::path path = require_file(set, file, options.dir);
  CifarImages images = read_cifar_file(path);
  const int64_t count = images.labels.size(0);
  if (options.verify && count != kCifarRecords) {
    fail(path, "wanted " + std::to_string(kCifarRecords) + " records, got " +
                   std::to_string(count) + " (data.verify=false takes any number)");
  }
  cifar.sha256[file.name] = sha256_of_file(path);
  return images;
}

}  // namespace

CifarImages read_cifar_file(const fs::path& file) {
  const std::vector<char> bytes = read_all(file);
  const int64_t count = static_cast<int64_t>(bytes.size()) / kRecord;
  CifarImages result{at::empty({count, kCifarChannels, kCifarSide, kCifarSide}, at::kByte),
                     at::empty({count}, at::kLong)};
  auto* pixels = result.images.mutable_data_ptr<uint8_t>();
  auto* labels = result.labels.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    const char* record = bytes.data() + i * kRecord;
    labels[i] = static_cast<uint8_t>(record[0]);
    if (labels[i] >= kClasses) {
      fail(file, "record " + std::to_string(i) + ": wanted a label from 0 to 9, got " +
                     std::to_string(labels[i]));
    }
    std::memcpy(pixels + i * kPixels, record + 1, static_cast<size_t>(kPixels));
  }
  return result;
}

Cifar load_cifar(const LoadOptions& options) {
  const DataSet set = description();
  Cifar cifar;
  std::vector<at::Tensor> images, labels;
  for (const DataFile& file : set.files) {
    CifarImages part = load_file(set, file, options, cifar);
    if (file.role == FileRole::kTestImages) {
      cifar.test = std::move(part);
    } else {
      images.push_back(part.images);
      labels.push_back(part.labels);
    }
  }
  cifar.train = {at::cat(images), at::cat(labels)};
  return cifar;
}

}  // namespace gradthru::data
