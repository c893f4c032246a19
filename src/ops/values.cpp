// What other languages ask of the library without tensors: estimators as values, random keys. They
// are operators because the dispatcher is the one interface that needs no binding.
#include <torch/library.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "gradthru/nn/logic_gates.h"

namespace gradthru::ops {
namespace {

std::string_view text_of(Family family) {
  return family == Family::pathwise ? "pathwise" : family == Family::score ? "score" : "network";
}

std::string_view text_of(Exact exact) {
  switch (exact) {
    case Exact::linear:
      return "linear";
    case Exact::quadratic:
      return "quadratic";
    case Exact::every:
      return "every";
    default:
      return "none";
  }
}

/// The shortest spec, the method, the numbers that the sampling operators take (none while a
/// temperature is a schedule) and the offsets of the random stream that one sample uses.
std::tuple<std::string, std::string, std::vector<double>, int64_t> estimator(
    const std::string& spec) {
  const Estimator e = parse_estimator(spec);
  const bool constant = e.is_constant();
  return {to_string(e), std::string(name(e.method)), constant ? numbers(e) : std::vector<double>(),
          static_cast<int64_t>(traits(e).offsets)};
}

std::string estimator_at(const std::string& spec, double progress) {
  return to_string(parse_estimator(spec).at(progress));
}

std::vector<std::string> estimator_names() {
  std::vector<std::string> names;
  for (const Method method : methods()) names.emplace_back(name(method));
  return names;
}

/// Summary, source, family, keys, key of the positional value.
std::tuple<std::string, std::string, std::string, std::vector<std::string>, std::string> about_of(
    const std::string& spec) {
  const About facts = about(parse_estimator(spec).method);
  return {std::string(facts.summary), std::string(facts.source), std::string(text_of(facts.family)),
          facts.parameters, std::string(facts.positional)};
}

/// exact, needs_gradient, needs_gumbels, discrete_only, sampling_tau, relaxed, binary_only.
std::tuple<std::string, bool, bool, bool, double, bool, bool> traits_of(const std::string& spec) {
  const Traits t = traits(parse_estimator(spec));
  return {std::string(text_of(t.exact)),
          t.needs_gradient,
          t.needs_gumbels,
          t.discrete_only,
          t.sampling_tau,
          t.relaxed,
          t.binary_only};
}

/// The seed of a key that the generator gives, Torch's default CPU generator if none.
int64_t random_seed(const std::optional<at::Generator>& generator) {
  return static_cast<int64_t>(key_from(generator).seed);
}

/// c0 .. c3 of the functions of logic gates, float64.
at::Tensor functions() {
  return nn::logic_functions(at::kDouble);
}

/// The inputs of the gates of a layer.
std::tuple<at::Tensor, at::Tensor> wiring(int64_t in, int64_t out, int64_t seed) {
  return nn::logic_wiring(in, out, static_cast<uint64_t>(seed));
}

std::string version() {
  return GRADTHRU_VERSION;
}

TORCH_LIBRARY_FRAGMENT(gradthru, m) {
  m.def("estimator(str spec) -> (str, str, float[], int)", &estimator);
  m.def("estimator_at(str spec, float progress) -> str", &estimator_at);
  m.def("estimator_names() -> str[]", &estimator_names);
  m.def("about(str spec) -> (str, str, str, str[], str)", &about_of);
  m.def("traits(str spec) -> (str, bool, bool, bool, float, bool, bool)", &traits_of);
  m.def("random_seed(Generator? generator) -> int", &random_seed);
  m.def("logic_functions() -> Tensor", &functions);
  m.def("logic_wiring(int inputs, int gates, int seed) -> (Tensor, Tensor)", &wiring);
  m.def("version() -> str", &version);
}

}  // namespace
}  // namespace gradthru::ops
