#include "lab/problem_file.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lab/functions.h"
#include "lab/json_file.h"
#include "problem_schema.h"

namespace gradthru::lab {
namespace {

using at::Tensor;
using Json = nlohmann::json;

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

Function read_function(const JsonFile& file, const Json& f, Problem& problem) {
  const std::string kind = f.at("kind");
  file.validate(definition(kind), f, "/f");
  const int64_t n = problem.L() * problem.K();
  const Tensor no_slope = at::zeros({n}, at::kDouble);
  if (kind == "linear") return linear(file.vector(f["b"], "f.b", n), f.value("c", 0.0));
  if (kind == "quadratic") {
    return quadratic(file.matrix(f["A"], "f.A", n, n),
                     f.contains("b") ? file.vector(f["b"], "f.b", n) : no_slope, f.value("c", 0.0));
  }
  if (kind == "polynomial") return powers(f["p"], file.vector(f["target"], "f.target", n));
  if (kind == "table") {
    const double states =
        std::pow(static_cast<double>(problem.K()), static_cast<double>(problem.L()));
    if (states != static_cast<double>(f["values"].size())) {
      std::ostringstream text;
      text << "f.values must have K^L = " << states << " numbers, got " << f["values"].size();
      file.fail(text.str());
    }
    problem.differentiable = false;
    return table(file.vector(f["values"], "f.values"));
  }
  const auto hidden = static_cast<int64_t>(f["W1"].size());
  return mlp(
      file.matrix(f["W1"], "f.W1", hidden, n),
      f.contains("b1") ? file.vector(f["b1"], "f.b1", hidden) : at::zeros({hidden}, at::kDouble),
      file.vector(f["w2"], "f.w2", hidden), f.value("b2", 0.0));
}

Problem problem_of(const JsonFile& file) {
  file.validate(outer_schema(), file.root(), "");
  Problem problem;
  problem.name = file.where();
  problem.logits = file.matrix(file.root()["logits"], "logits").unsqueeze(0);
  problem.f = read_function(file, file.root()["f"], problem);
  return problem;
}

}  // namespace

Problem parse_problem(std::string_view text, const std::string& where) {
  return problem_of(JsonFile(text, where));
}

Problem read_problem(const std::string& path) {
  return problem_of(JsonFile::read(path));
}

}  // namespace gradthru::lab
