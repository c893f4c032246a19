#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gradthru::lab {

/// A JSON file as a user wrote it. Every mistake is one line, InvalidInput, that names the file,
/// the place in it, what was given and what is wanted.
class JsonFile {
 public:
  using Json = nlohmann::json;

  /// `where` is the file's name in messages. Errors: for a text that is no JSON.
  JsonFile(std::string_view text, std::string where);

  /// Reads the file at `path`. Errors: if it cannot be read, and as above.
  static JsonFile read(const std::string& path);

  const Json& root() const { return root_; }
  const std::string& where() const { return where_; }

  [[noreturn]] void fail(const std::string& what) const;

  /// Holds a value, which lies `below` the root ("/f"), to a JSON Schema. The first mistake counts.
  void validate(const Json& schema, const Json& value, const std::string& below) const;

  /// Finite numbers as float64 [n], of the given size if there is one.
  at::Tensor vector(const Json& numbers, const std::string& name) const;
  at::Tensor vector(const Json& numbers, const std::string& name, int64_t size) const;

  /// Rows of equal length as float64 [height, width].
  at::Tensor matrix(const Json& rows, const std::string& name) const;
  at::Tensor matrix(const Json& rows, const std::string& name, int64_t height, int64_t width) const;

 private:
  std::string where_;
  Json root_;
};

}  // namespace gradthru::lab
