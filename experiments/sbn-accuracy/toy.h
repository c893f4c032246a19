#pragma once

#include <cstdint>
#include <vector>

#include "lab/network.h"

namespace gradthru::experiments {

/// The toy problem of PSA (arXiv 2006.03143) and its network before training: points in the plane
/// of two classes that overlap, units of {0,1}, logistic loss, weights from U(-1, 1), the hidden
/// layers normalised one after another. A function of the seed.
lab::BinaryNetwork toy_network(const std::vector<int64_t>& hidden, int64_t points, uint64_t seed);

/// The network 2-3-3-1 whose exact figures are known.
lab::BinaryNetwork known_network();

}  // namespace gradthru::experiments
