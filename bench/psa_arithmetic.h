#pragma once

#include <cstdint>

namespace gradthru::bench {

/// The arithmetic of `terms` terms of a PSA layer in float32, three over one division, with
/// everything in the nearest cache: what no kernel of this form can beat on this machine. Uses the
/// widest vectors that the machine has.
void psa_arithmetic(double terms);

}  // namespace gradthru::bench
