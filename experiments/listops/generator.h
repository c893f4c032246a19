#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/listops.h"

namespace gradthru::experiments::listops {

inline constexpr uint64_t kGeneratorSeed = 20180417;
inline constexpr int64_t kGenerated = 100'000;
inline constexpr int kDeepest = 20;  ///< an operand at this depth is always a digit; the root: 1

/// SHA-256 of the text of the kGenerated expressions without those of the official test set.
inline constexpr const char* kGeneratedSha256 =
    "3226584ee2c9fe46e318ab160b94b6cfbf82b27e2ccbc46e6f6636f8a6ffcb82";

/// The recipe of ListOps: an operand is a digit (uniform) with probability 3/4, else an operator
/// (uniform) with two to five operands (uniform). Draws until `count` different expressions are
/// there that are none of `excluded`, then shuffles them: short ones are drawn first.
///
/// Determinism: a pure function of its arguments on every machine: draws come from std::mt19937_64,
///   whose numbers the standard fixes, and from no distribution of a library. Bits 62 and 63 of a
///   draw decide on a digit, rejection of the uneven rest gives uniform numbers.
/// Errors: InvalidInput where 50 draws per wanted expression do not give enough.
std::vector<data::ListOpsExample> generate_expressions(
    uint64_t seed, int64_t count, const std::vector<data::ListOpsExample>& excluded);

/// The examples as lines `label<TAB>expression`: what the hash is of.
std::string text_of(const std::vector<data::ListOpsExample>& examples);

}  // namespace gradthru::experiments::listops
