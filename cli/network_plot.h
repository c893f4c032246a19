#pragma once

#include "lab/network_fidelity.h"
#include "report/page.h"

namespace gradthru::cli {

/// What the means of M estimates of each layer's gradient are worth, over M: error and cosine, a
/// panel per layer.
report::Page network_page(const lab::BinaryNetwork& network,
                          const lab::NetworkMeasurement& measured);

}  // namespace gradthru::cli
