#include "experiments/methods.h"

#include "gradthru/error.h"

namespace gradthru::experiments {
namespace {

std::vector<Estimator> constant(std::string_view where, std::vector<Estimator> estimators) {
  for (const Estimator& estimator : estimators) {
    if (!estimator.is_constant()) {
      throw InvalidInput(std::string(where) +
                         ": a temperature must be a number, not a schedule, got '" +
                         to_string(estimator) + "'");
    }
  }
  return estimators;
}

}  // namespace

std::vector<Estimator> parse_constant_estimators(std::string_view where, const std::string& text) {
  return constant(where, parse_estimators(text));
}

std::vector<Estimator> parse_constant_estimators(std::string_view where,
                                                 const std::vector<std::string>& specs) {
  std::vector<Estimator> estimators;
  for (const std::string& spec : specs) estimators.push_back(parse_estimator(spec));
  return constant(where, std::move(estimators));
}

}  // namespace gradthru::experiments
