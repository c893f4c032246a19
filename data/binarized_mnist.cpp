#include "data/binarized_mnist.h"

#include <ATen/Functions.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <vector>

#include "data/catalogue.h"
#include "data/checksum.h"
#include "data/gzip.h"
#include "data/locate.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPixels = 784;

/// Rows of digits from the bytes that it is given piece by piece.
class RowParser {
 public:
  explicit RowParser(std::string start) : start_(std::move(start)) {}

  void add(const uint8_t* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) add(static_cast<char>(bytes[i]));
  }

  std::vector<uint8_t> finish() {
    if (in_row_ > 0) end_line();
    if (digits_.empty()) throw InvalidInput(start_ + "wanted rows of 784 digits, got none");
    return std::move(digits_);
  }

 private:
  void add(char c) {
    const bool blank = c == ' ' || c == '\t' || c == '\r';
    if (blank || c == '\n') {
      after_digit_ = false;
      if (c == '\n') end_line();
      return;
    }
    if ((c != '0' && c != '1') || after_digit_) {
      fail(std::string("wanted digits 0 or 1 with a blank between them, got '") + c + "'");
    }
    if (++in_row_ > kPixels) fail("wanted 784 digits, got more");
    after_digit_ = true;
    digits_.push_back(c == '1');
  }

  void end_line() {
    if (in_row_ != kPixels) fail("wanted 784 digits, got " + std::to_string(in_row_));
    in_row_ = 0;
    ++line_;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw InvalidInput(start_ + "line " + std::to_string(line_) + ": " + what);
  }

  std::string start_;
  std::vector<uint8_t> digits_;
  int64_t line_ = 1, in_row_ = 0;
  bool after_digit_ = false;
};

/// Fills a buffer; fewer bytes only at the end of the file.
using Source = std::function<size_t(uint8_t* out, size_t size)>;

at::Tensor parse(RowParser parser, const Source& read) {
  std::vector<uint8_t> buffer(size_t{1} << 16);
  while (const size_t count = read(buffer.data(), buffer.size())) parser.add(buffer.data(), count);
  const std::vector<uint8_t> digits = parser.finish();
  const auto rows = static_cast<int64_t>(digits.size()) / kPixels;
  const at::Tensor result = at::empty({rows, kPixels}, at::kByte);
  std::memcpy(result.mutable_data_ptr<uint8_t>(), digits.data(), digits.size());
  return result;
}

}  // namespace

at::Tensor read_binary_rows(const fs::path& file) {
  RowParser parser("data: file " + file.string() + ": ");
  if (file.extension() == ".gz") {
    GzipReader reader(file);
    return parse(std::move(parser),
                 [&](uint8_t* out, size_t size) { return reader.read(out, size); });
  }
  std::ifstream stream(file, std::ios::binary);
  const auto read = [&](uint8_t* out, size_t size) {
    stream.read(reinterpret_cast<char*>(out), static_cast<std::streamsize>(size));
    if (stream.bad() || !stream.is_open()) {
      throw InvalidInput("data: file " + file.string() +
                         ": cannot be read: " + std::strerror(errno));
    }
    return static_cast<size_t>(stream.gcount());
  };
  return parse(std::move(parser), read);
}

BinarizedMnist load_binarized_mnist(const LoadOptions& options) {
  const DataSet& set = find_data_set("binarized-mnist");
  BinarizedMnist result;
  at::Tensor* parts[] = {&result.train, &result.valid, &result.test};
  for (size_t i = 0; i < 3; ++i) {
    const DataFile& file = set.files[i];
    const fs::path path = require_file(set, file, options.dir);
    if (options.verify) result.sha256[file.name] = verify_file(path, file);
    *parts[i] = read_binary_rows(path);
  }
  return result;
}

}  // namespace gradthru::data
