#include "lab/problem_file.h"

#include <ATen/ATen.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "lab/functions.h"
#include "problem_schema.h"

namespace gradthru::lab {
namespace {

using at::Tensor;
using Json = nlohmann::json;

/// Reports mistakes of one file.
struct Place {
  const std::string& where;

  [[noreturn]] void fail(const std::string& what) const { throw InvalidInput(where + ": " + what); }

  /// The first mistake that the schema finds, where it lies deepest.
  void validate(const Json& schema_text, const Json& value, const std::string& below) const {
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

  Tensor vector(const Json& numbers, const std::string& name) const {
    const auto values = numbers.get<std::vector<double>>();
    for (const double value : values) {
      if (!std::isfinite(value)) fail(name + " must be finite numbers");
    }
    return at::tensor(values, at::kDouble);
  }

  Tensor vector(const Json& numbers, const std::string& name, int64_t size) const {
    const auto got = static_cast<int64_t>(numbers.size());
    if (got != size) {
      fail(name + " must have " + std::to_string(size) + " numbers, got " + std::to_string(got));
    }
    return vector(numbers, name);
  }

  Tensor matrix(const Json& rows, const std::string& name) const {
    std::vector<Tensor> all;
    for (const Json& row : rows) {
      const std::string place = name + "[" + std::to_string(all.size()) + "]";
      all.push_back(all.empty() ? vector(row, place) : vector(row, place, all[0].size(0)));
    }
    return at::stack(all);
  }

  Tensor matrix(const Json& rows, const std::string& name, int64_t height, int64_t width) const {
    const Tensor all = matrix(rows, name);
    if (all.size(0) != height || all.size(1) != width) {
      fail(name + " must be " + std::to_string(height) + "x" + std::to_string(width) + ", got " +
           std::to_string(all.size(0)) + "x" + std::to_string(all.size(1)));
    }
    return all;
  }
};

/// The schema of one definition, with the definitions it refers to.
Json definition(const std::string& name) {
  Json schema = Json::parse(kProblemSchema);
  Json one = schema["definitions"][name];
  one["definitions"] = schema["definitions"];
  return one;
}

/// The schema of the file, where f is looked at by kind: a mistake is then told by its own rule.
Json outer_schema() {
  Json schema = Json::parse(kProblemSchema);
  schema["properties"]["f"].erase("oneOf");
  return schema;
}

Function read_function(const Place& place, const Json& f, Problem& problem) {
  const std::string kind = f.at("kind");
  place.validate(definition(kind), f, "/f");
  const int64_t n = problem.L() * problem.K();
  const Tensor no_slope = at::zeros({n}, at::kDouble);
  if (kind == "linear") return linear(place.vector(f["b"], "f.b", n), f.value("c", 0.0));
  if (kind == "quadratic") {
    return quadratic(place.matrix(f["A"], "f.A", n, n),
                     f.contains("b") ? place.vector(f["b"], "f.b", n) : no_slope,
                     f.value("c", 0.0));
  }
  if (kind == "polynomial") return powers(f["p"], place.vector(f["target"], "f.target", n));
  if (kind == "table") {
    const double states =
        std::pow(static_cast<double>(problem.K()), static_cast<double>(problem.L()));
    if (states != static_cast<double>(f["values"].size())) {
      std::ostringstream text;
      text << "f.values must have K^L = " << states << " numbers, got " << f["values"].size();
      place.fail(text.str());
    }
    problem.differentiable = false;
    return table(place.vector(f["values"], "f.values"), problem.K());
  }
  const auto hidden = static_cast<int64_t>(f["W1"].size());
  return mlp(
      place.matrix(f["W1"], "f.W1", hidden, n),
      f.contains("b1") ? place.vector(f["b1"], "f.b1", hidden) : at::zeros({hidden}, at::kDouble),
      place.vector(f["w2"], "f.w2", hidden), f.value("b2", 0.0));
}

}  // namespace

Problem parse_problem(std::string_view text, const std::string& where) {
  const Place place{where};
  Json root;
  try {
    root = Json::parse(text);
  } catch (const Json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ...".
    const std::string message = error.what();
    const size_t begin = message.find("parse error");
    place.fail("not JSON: " + (begin == std::string::npos ? message : message.substr(begin)));
  }
  place.validate(outer_schema(), root, "");
  Problem problem;
  problem.name = where;
  problem.logits = place.matrix(root["logits"], "logits").unsqueeze(0);
  problem.f = read_function(place, root["f"], problem);
  return problem;
}

Problem read_problem(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(file && text << file.rdbuf())) {
    throw InvalidInput("cannot read the problem file '" + path + "'");
  }
  return parse_problem(text.str(), path);
}

}  // namespace gradthru::lab
