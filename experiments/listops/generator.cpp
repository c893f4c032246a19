#include "experiments/listops/generator.h"

#include <random>
#include <unordered_set>
#include <utility>

#include "gradthru/error.h"

namespace gradthru::experiments::listops {
namespace {

using data::ListOpsExample;
using data::ListOpsTokens;

class Generator {
 public:
  explicit Generator(uint64_t seed) : engine_(seed) {}

  /// Uniform in [0, n).
  uint64_t below(uint64_t n) {
    const uint64_t uneven = -n % n;  // 2^64 modulo n
    uint64_t drawn = engine_();
    while (drawn < uneven) drawn = engine_();
    return drawn % n;
  }

  void operand(int depth, ListOpsTokens& tokens) {
    if (depth == kDeepest || engine_() >> 62 != 0) {
      tokens.push_back(static_cast<data::ListOpsToken>(below(10)));
      return;
    }
    tokens.push_back(data::kListOpsOpen);
    tokens.push_back(static_cast<data::ListOpsToken>(data::kListOpsMin + below(4)));
    for (uint64_t left = 2 + below(4); left > 0; --left) operand(depth + 1, tokens);
    tokens.push_back(data::kListOpsClose);
  }

 private:
  std::mt19937_64 engine_;
};

std::string key_of(const ListOpsTokens& tokens) {
  return {tokens.begin(), tokens.end()};
}

}  // namespace

std::vector<ListOpsExample> generate_expressions(uint64_t seed, int64_t count,
                                                 const std::vector<ListOpsExample>& excluded) {
  Generator generator(seed);
  std::unordered_set<std::string> seen;
  for (const ListOpsExample& example : excluded) seen.insert(key_of(example.tokens));
  const auto wanted = static_cast<size_t>(count);
  std::vector<ListOpsExample> examples;
  for (int64_t draws = 0; examples.size() < wanted; ++draws) {
    if (draws == 50 * count) {
      throw InvalidInput("listops: wanted " + std::to_string(count) +
                         " different expressions, got " + std::to_string(examples.size()) +
                         " from " + std::to_string(draws) + " draws");
    }
    ListOpsTokens tokens;
    generator.operand(1, tokens);
    if (!seen.insert(key_of(tokens)).second) continue;
    const int value = data::list_ops_value(tokens);
    examples.push_back({std::move(tokens), value});
  }
  for (size_t i = wanted; i > 1; --i) std::swap(examples[i - 1], examples[generator.below(i)]);
  return examples;
}

std::string text_of(const std::vector<ListOpsExample>& examples) {
  std::string text;
  for (const ListOpsExample& example : examples) {
    text += static_cast<char>('0' + example.label);
    text += '\t';
    text += data::list_ops_text(example.tokens);
    text += '\n';
  }
  return text;
}

}  // namespace gradthru::experiments::listops
