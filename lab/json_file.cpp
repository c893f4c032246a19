#include "lab/json_file.h"

#include <ATen/ATen.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <utility>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "gradthru/error.h"

namespace gradthru::lab {

using at::Tensor;

JsonFile::JsonFile(std::string_view text, std::string where) : where_(std::move(where)) {
  try {
    root_ = Json::parse(text);
  } catch (const Json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ...".
    const std::string message = error.what();
    const size_t begin = message.find("parse error");
    fail("not JSON: " + (begin == std::string::npos ? message : message.substr(begin)));
  }
}

JsonFile JsonFile::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(file && text << file.rdbuf())) throw InvalidInput("cannot read the file '" + path + "'");
  return JsonFile(text.str(), path);
}

void JsonFile::fail(const std::string& what) const {
  throw InvalidInput(where_ + ": " + what);
}

void JsonFile::validate(const Json& schema_text, const Json& value,
                        const std::string& below) const {
  valijson::Schema schema;
  valijson::SchemaParser().populateSchema(valijson::adapters::NlohmannJsonAdapter(schema_text),
                                          schema);
  valijson::ValidationResults results;
  const valijson::adapters::NlohmannJsonAdapter adapter(value);
  if (valijson::Validator().validate(schema, adapter, &results)) return;
  valijson::ValidationResults::Error error;
  results.popError(error);
  std::string path = below;
  for (size_t i = 1; i < error.context.size(); ++i) {
    std::string part = error.context[i];
    std::erase_if(part, [](char c) { return c == '[' || c == ']' || c == '"'; });
    path += "/" + part;
  }
  fail((path.empty() ? "" : path.substr(1) + ": ") + error.description);
}

Tensor JsonFile::vector(const Json& numbers, const std::string& name) const {
  const auto values = numbers.get<std::vector<double>>();
  for (const double value : values) {
    if (!std::isfinite(value)) fail(name + " must be finite numbers");
  }
  return at::tensor(values, at::kDouble);
}

Tensor JsonFile::vector(const Json& numbers, const std::string& name, int64_t size) const {
  const auto got = static_cast<int64_t>(numbers.size());
  if (got != size) {
    fail(name + " must have " + std::to_string(size) + " numbers, got " + std::to_string(got));
  }
  return vector(numbers, name);
}

Tensor JsonFile::matrix(const Json& rows, const std::string& name) const {
  std::vector<Tensor> all;
  for (const Json& row : rows) {
    const std::string place = name + "[" + std::to_string(all.size()) + "]";
    all.push_back(all.empty() ? vector(row, place) : vector(row, place, all[0].size(0)));
  }
  return at::stack(all);
}

Tensor JsonFile::matrix(const Json& rows, const std::string& name, int64_t height,
                        int64_t width) const {
  const Tensor all = matrix(rows, name);
  if (all.size(0) != height || all.size(1) != width) {
    fail(name + " must be " + std::to_string(height) + "x" + std::to_string(width) + ", got " +
         std::to_string(all.size(0)) + "x" + std::to_string(all.size(1)));
  }
  return all;
}

}  // namespace gradthru::lab
