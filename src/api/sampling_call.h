#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/SymInt.h>

#include <optional>
#include <string>
#include <vector>

#include "api/registry.h"
#include "gradthru/estimator.h"
#include "gradthru/key.h"

namespace gradthru {

template <class Signature>
c10::TypedOperatorHandle<Signature> find_op(const char* op) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(op, "").typed<Signature>();
}

/// A given sample makes the Gumbels of the Gumbel-argmax methods conditional: one more offset.
inline uint64_t offsets_of_call(const Estimator& estimator, bool given,
                                const std::optional<int64_t>& samples) {
  const Traits facts = traits(estimator);
  const uint64_t each = facts.offsets + (given && facts.needs_gumbels ? 1 : 0);
  return each * static_cast<uint64_t>(std::max<int64_t>(samples.value_or(1), 1));
}

inline void refuse_network_rule(const Estimator& estimator) {
  if (entry_of(estimator.method).family != Family::network) return;
  throw InvalidInput(std::string(name(estimator.method)) +
                     ": is a rule for the layers of a binary network; use "
                     "gradthru::nn::StochasticBinarySequential");
}

/// The arguments that both sampling ops share, checked.
struct SamplingCall {
  std::vector<double> numbers;
  int64_t seed, offset, row0;

  SamplingCall(const Estimator& estimator, const std::optional<Key>& key,
               const std::optional<at::Generator>& generator, uint64_t offsets)
      : numbers(gradthru::numbers(estimator)) {
    const std::string method(name(estimator.method));
    refuse_network_rule(estimator);
    if (entry_of(estimator.method).family == Family::score) {
      throw InvalidInput(method +
                         ": uses the values of f, so it has no gradient for a sample; use "
                         "expectation(f, logits, estimator)");
    }
    if (key && generator) throw InvalidInput(method + ": give a key or a generator, not both");
    const Key used = key ? *key : key_from(generator);
    if (used.offset >= kOffsets || offsets > kOffsets - used.offset) {
      throw InvalidInput(method + ": key.offset must stay below 2^47, got " +
                         std::to_string(used.offset));
    }
    if (used.row0 < 0 || used.row0 >= kRows) {
      throw InvalidInput(method + ": key.row0 must be in [0, 2^48), got " +
                         std::to_string(used.row0));
    }
    seed = static_cast<int64_t>(used.seed);
    offset = static_cast<int64_t>(used.offset);
    row0 = used.row0;
  }

  static std::optional<c10::SymInt> count(const std::optional<int64_t>& samples) {
    return samples ? std::optional<c10::SymInt>(*samples) : std::nullopt;
  }

 private:
  static constexpr uint64_t kOffsets = uint64_t{1} << 47;
  static constexpr int64_t kRows = int64_t{1} << 48;
};

}  // namespace gradthru
