#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace gradthru::experiments {

/// Parses `8x4`: 8 categories x 4 variables. Errors: InvalidInput.
std::pair<int64_t, int64_t> parse_latent(const std::string& text);

}  // namespace gradthru::experiments
