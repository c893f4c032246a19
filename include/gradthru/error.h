#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gradthru/export.h"

namespace gradthru {

/// A user's mistake: a bad spec, option, file or configuration. The message is one line that says
/// what was given and what is wanted; the command line prints it and exits with code 2.
class GRADTHRU_API InvalidInput : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// The candidate closest to `name` in edit distance, or "" where none is near enough to be a slip
/// of the finger (more than a third of the name's length, at least 2).
GRADTHRU_API std::string nearest_name(std::string_view name,
                                      const std::vector<std::string>& candidates);

/// "; did you mean 'reinmax'?", or "" without a near candidate: to be appended to a message.
GRADTHRU_API std::string did_you_mean(std::string_view name,
                                      const std::vector<std::string>& candidates);

}  // namespace gradthru
