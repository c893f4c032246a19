#include "experiments/latent.h"

#include <charconv>

#include "gradthru/error.h"

namespace gradthru::experiments {

std::pair<int64_t, int64_t> parse_latent(const std::string& text) {
  const auto number = [&](const char* begin, const char* end) {
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(begin, end, value);
    return error == std::errc() && stop == end && value >= 1 && value <= 100000 ? value : 0;
  };
  const size_t x = text.find('x');
  const char* begin = text.data();
  const int64_t K = x == std::string::npos ? 0 : number(begin, begin + x);
  const int64_t L = x == std::string::npos ? 0 : number(begin + x + 1, begin + text.size());
  constexpr int64_t kMostLogits = 1'000'000;
  if (K * L > kMostLogits) {
    throw InvalidInput("latent must have at most 1000000 logits in all, got '" + text + "'");
  }
  if (K < 2 || L < 1) {
    throw InvalidInput("latent must be <categories>x<variables>, such as 8x4, got '" + text + "'");
  }
  return {K, L};
}

}  // namespace gradthru::experiments
