#include "cli/methods.h"

#include "gradthru/error.h"

namespace gradthru::cli {

std::vector<Estimator> parse_constant_estimators(std::string_view command,
                                                 const std::string& text) {
  auto estimators = parse_estimators(text);
  for (const Estimator& estimator : estimators) {
    if (!estimator.is_constant()) {
      throw InvalidInput(std::string(command) +
                         ": a temperature must be a number, not a schedule, got '" +
                         to_string(estimator) + "'");
    }
  }
  return estimators;
}

}  // namespace gradthru::cli
