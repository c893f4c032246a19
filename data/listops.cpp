#include "data/listops.h"

#include <cstdint>
#include <fstream>
#include <string_view>

#include "data/checksum.h"
#include "data/gzip.h"
#include "data/locate.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;

// The official test set has 2.8 MB; the limit keeps a wrong file from filling the memory.
constexpr size_t kMostBytes = size_t{64} << 20;

std::string start_of_message(const fs::path& file) {
  return "data: file " + file.string() + ": ";
}

std::string compressed_text(const fs::path& file) {
  GzipReader reader(file);
  std::string text;
  for (size_t got = 1; got > 0;) {
    constexpr size_t kBlock = size_t{1} << 20;
    const size_t size = text.size();
    if (size > kMostBytes) {
      throw InvalidInput(reader.message_start() + "wanted at most 64 MiB of text, got more");
    }
    text.resize(size + kBlock);
    got = reader.read(reinterpret_cast<uint8_t*>(text.data() + size), kBlock);
    text.resize(size + got);
  }
  return text;
}

std::string plain_text(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  const auto size = stream.is_open() ? static_cast<int64_t>(stream.tellg()) : -1;
  if (size < 0) throw InvalidInput(start_of_message(file) + "cannot be read");
  if (static_cast<size_t>(size) > kMostBytes) {
    throw InvalidInput(start_of_message(file) + "wanted at most 64 MiB of text, got more");
  }
  std::string text(static_cast<size_t>(size), '\0');
  stream.seekg(0);
  stream.read(text.data(), size);
  if (!stream) throw InvalidInput(start_of_message(file) + "cannot be read");
  return text;
}

std::string text_of(const fs::path& file) {
  return file.extension() == ".gz" ? compressed_text(file) : plain_text(file);
}

ListOpsExample parse_line(std::string_view line) {
  if (line.size() < 2 || line[1] != '\t' || line[0] < '0' || line[0] > '9') {
    throw InvalidInput("wanted a label from 0 to 9, a tab and an expression, got '" +
                       std::string(line.substr(0, 20)) + "'");
  }
  ListOpsExample example{parse_list_ops(line.substr(2)), line[0] - '0'};
  if (const int value = list_ops_value(example.tokens); value != example.label) {
    throw InvalidInput("the label is " + std::to_string(example.label) +
                       ", but the expression's value " + std::to_string(value));
  }
  return example;
}

std::vector<ListOpsExample> parse(std::string_view text, const fs::path& file) {
  std::vector<ListOpsExample> examples;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    try {
      examples.push_back(parse_line(line));
    } catch (const InvalidInput& error) {
      throw InvalidInput(start_of_message(file) + "line " + std::to_string(examples.size() + 1) +
                         ": " + error.what());
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  if (examples.empty()) throw InvalidInput(start_of_message(file) + "wanted expressions, got none");
  return examples;
}

}  // namespace

std::vector<ListOpsExample> read_list_ops(const fs::path& file) {
  return parse(text_of(file), file);
}

ListOpsTest load_list_ops_test(const LoadOptions& options) {
  const DataSet& set = find_data_set("listops");
  const DataFile& table = file_with_role(set, FileRole::kTable);
  const fs::path file = require_file(set, table, options.dir);
  ListOpsTest test{.examples = {}, .name = table.name, .sha256 = ""};
  if (options.verify) test.sha256 = verify_file(file, table);
  test.examples = read_list_ops(file);
  return test;
}

}  // namespace gradthru::data
