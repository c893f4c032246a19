#include "train/checkpoint.h"

#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>

#include <bit>
#include <charconv>
#include <exception>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "train/atomic_file.h"
#include "train/sha256.h"

namespace gradthru::train {
namespace fs = std::filesystem;
namespace {
using caffe2::serialize::PyTorchStreamReader;
using caffe2::serialize::PyTorchStreamWriter;
using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "tensors are stored as they lie in memory");

constexpr int64_t kFormatVersion = 1;
constexpr char kManifest[] = "manifest.json";
constexpr char kManifestHash[] = "manifest.sha256";

constexpr std::pair<const char*, at::ScalarType> kDtypes[] = {
    {"bool", at::kBool},     {"uint8", at::kByte},        {"int8", at::kChar},
    {"int16", at::kShort},   {"int32", at::kInt},         {"int64", at::kLong},
    {"float16", at::kHalf},  {"bfloat16", at::kBFloat16}, {"float32", at::kFloat},
    {"float64", at::kDouble}};

std::string dtype_name(at::ScalarType dtype) {
  for (const auto& [name, known] : kDtypes) {
    if (known == dtype) return name;
  }
  throw std::invalid_argument(std::string("checkpoint: cannot hold tensors of type ") +
                              c10::toString(dtype));
}

at::ScalarType dtype_of(const std::string& name) {
  for (const auto& [known, dtype] : kDtypes) {
    if (name == known) return dtype;
  }
  throw InvalidInput("unknown dtype " + name);
}

// JSON has neither infinities nor NaN, and decimal digits invite rounding.
std::string number_to_text(double number) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::hex).ptr};
}

double number_from_text(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number, std::chars_format::hex);
  if (result.ec != std::errc() || result.ptr != end) throw InvalidInput("bad number " + text);
  return number;
}

int64_t integer_from(const json& value) {
  if (!value.is_number_integer()) throw InvalidInput("bad integer in the manifest");
  return value.get<int64_t>();
}

std::string_view bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

json write_tensors(const Checkpoint& checkpoint, PyTorchStreamWriter& writer) {
  json entries = json::object();
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const at::Tensor plain = tensor.detach().cpu().contiguous();
    const std::string record = "tensors/" + std::to_string(entries.size());
    const std::string_view bytes = bytes_of(plain);
    entries[name] = {{"record", record},
                     {"dtype", dtype_name(plain.scalar_type())},
                     {"shape", plain.sizes().vec()},
                     {"sha256", sha256_hex(bytes)}};
    if (!bytes.empty()) writer.writeRecord(record, bytes.data(), bytes.size());
  }
  return entries;
}

void write_archive(const Checkpoint& checkpoint, PyTorchStreamWriter& writer) {
  json manifest;
  manifest["format_version"] = kFormatVersion;
  manifest["config_sha256"] = checkpoint.config_sha256;
  manifest["tensors"] = write_tensors(checkpoint, writer);
  manifest["integers"] = checkpoint.integers;
  manifest["texts"] = checkpoint.texts;
  json& numbers = manifest["numbers"] = json::object();
  for (const auto& [name, number] : checkpoint.numbers) numbers[name] = number_to_text(number);
  const std::string text = manifest.dump();
  const std::string hash = sha256_hex(text);
  writer.writeRecord(kManifest, text.data(), text.size());
  writer.writeRecord(kManifestHash, hash.data(), hash.size());
  writer.writeEndOfFile();
}

// The reader trusts the sizes in the archive's directory; a changed byte there must not make us
// allocate what the file cannot hold. No record is compressed, so none is larger than the file.
class Archive {
 public:
  explicit Archive(const fs::path& path)
      : file_size_(fs::file_size(path)), reader_(path.string()) {}

  std::string read(const std::string& record) {
    std::string bytes(size_of(record), '\0');
    reader_.getRecord(record, bytes.data(), bytes.size());
    return bytes;
  }

  void read(const std::string& record, const at::Tensor& tensor) {
    reader_.getRecord(record, tensor.mutable_data_ptr(), tensor.nbytes());
  }

  size_t size_of(const std::string& record) {
    if (!reader_.hasRecord(record)) throw InvalidInput("record " + record + " is missing");
    const size_t size = reader_.getRecordSize(record);
    if (size > file_size_) throw InvalidInput("record " + record + " is larger than the file");
    return size;
  }

 private:
  size_t file_size_;
  PyTorchStreamReader reader_;
};

// The number of bytes of a tensor, or an error where it does not fit in 63 bits, whatever the
// order in which the sizes are multiplied.
int64_t bytes_needed(const std::vector<int64_t>& shape, at::ScalarType dtype) {
  int64_t bound = static_cast<int64_t>(c10::elementSize(dtype));
  bool is_empty = false;
  for (const int64_t size : shape) {
    is_empty = is_empty || size == 0;
    if (size < 0 || __builtin_mul_overflow(bound, std::max<int64_t>(size, 1), &bound)) {
      throw InvalidInput("a tensor has an impossible shape");
    }
  }
  return is_empty ? 0 : bound;
}

at::Tensor read_tensor(const std::string& name, const json& entry, Archive& archive) {
  const at::ScalarType dtype = dtype_of(entry.at("dtype").get<std::string>());
  std::vector<int64_t> shape;
  for (const json& size : entry.at("shape")) shape.push_back(integer_from(size));
  const int64_t bytes = bytes_needed(shape, dtype);
  const std::string record = entry.at("record").get<std::string>();
  const auto held = bytes == 0 ? 0 : static_cast<int64_t>(archive.size_of(record));
  if (held != bytes) {
    throw InvalidInput("tensor " + name + " wants " + std::to_string(bytes) + " bytes, got " +
                       std::to_string(held));
  }
  at::Tensor tensor = at::empty(shape, dtype);
  if (bytes > 0) archive.read(record, tensor);
  const std::string_view content = bytes_of(tensor);
  if (sha256_hex(content) != entry.at("sha256").get<std::string>()) {
    throw InvalidInput("tensor " + name + " has a wrong checksum");
  }
  // Any other byte in a bool is undefined behaviour for whoever reads it.
  if (dtype == at::kBool && content.find_first_not_of({"\0\1", 2}) != std::string_view::npos) {
    throw InvalidInput("tensor " + name + " holds bytes that are not bools");
  }
  return tensor;
}

Checkpoint read_archive(Archive& archive) {
  const std::string text = archive.read(kManifest);
  if (archive.read(kManifestHash) != sha256_hex(text)) {
    throw InvalidInput("the manifest has a wrong checksum");
  }
  const json manifest = json::parse(text);
  const int64_t version = integer_from(manifest.at("format_version"));
  if (version != kFormatVersion) {
    throw InvalidInput("wants format version " + std::to_string(kFormatVersion) + ", got " +
                       std::to_string(version));
  }
  Checkpoint checkpoint;
  checkpoint.config_sha256 = manifest.at("config_sha256").get<std::string>();
  for (const auto& [name, value] : manifest.at("integers").items()) {
    checkpoint.integers[name] = integer_from(value);
  }
  for (const auto& [name, value] : manifest.at("numbers").items()) {
    checkpoint.numbers[name] = number_from_text(value.get<std::string>());
  }
  for (const auto& [name, value] : manifest.at("texts").items()) {
    checkpoint.texts[name] = value.get<std::string>();
  }
  for (const auto& [name, entry] : manifest.at("tensors").items()) {
    checkpoint.tensors[name] = read_tensor(name, entry, archive);
  }
  return checkpoint;
}

// Torch's messages run over many lines and begin with a place in its sources.
std::string in_one_line(std::string message) {
  message = message.substr(0, message.find('\n'));
  const size_t end_of_place = message.rfind("] . ");
  return end_of_place == std::string::npos ? message : message.substr(end_of_place + 4);
}

template <typename T>
const T& entry(const std::map<std::string, T>& entries, const std::string& name) {
  const auto found = entries.find(name);
  if (found == entries.end()) {
    throw InvalidInput("checkpoint: has no entry " + name + ": from another experiment?");
  }
  return found->second;
}

}  // namespace

const at::Tensor& Checkpoint::tensor(const std::string& name) const {
  return entry(tensors, name);
}
int64_t Checkpoint::integer(const std::string& name) const {
  return entry(integers, name);
}
double Checkpoint::number(const std::string& name) const {
  return entry(numbers, name);
}
const std::string& Checkpoint::text(const std::string& name) const {
  return entry(texts, name);
}

void save(const Checkpoint& checkpoint, const fs::path& path) {
  AtomicFile file(path);
  // The archive's writer ends the process if it cannot close in order, so it never hears of a
  // failure: what comes after the first one is thrown away, and the failure is reported at the end.
  std::exception_ptr failure;
  {
    PyTorchStreamWriter writer([&](const void* bytes, size_t size) -> size_t {
      try {
        if (!failure) file.write(bytes, size);
      } catch (...) {
        failure = std::current_exception();
      }
      return size;
    });
    write_archive(checkpoint, writer);
  }
  if (failure) std::rethrow_exception(failure);
  file.commit();
}

Checkpoint load(const fs::path& path) {
  try {
    if (!fs::is_regular_file(path)) throw InvalidInput("no such file");
    Archive archive(path);
    return read_archive(archive);
  } catch (const std::exception& error) {
    throw InvalidInput("checkpoint " + path.string() + ": " + in_one_line(error.what()));
  }
}

}  // namespace gradthru::train
