#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/network_fidelity.h"

namespace gradthru::cli {

/// What `gradthru fidelity --network FILE` was asked for.
struct NetworkRequest {
  std::string network;  ///< the file
  std::string methods;  ///< spec strings separated by ';'
  lab::NetworkFidelityOptions options;
  std::string json, plot;  ///< files to be written, if not empty
};

/// Measures estimators of a binary network's gradient, layer by layer: a table, every figure in the
/// file `json`, curves in the page `plot`.
/// Errors: InvalidInput for the file, a method or a page that cannot be had.
int network_fidelity(const NetworkRequest& request);

/// What the network is, in a line.
std::string network_line(const lab::BinaryNetwork& network, double expected_loss);

/// What the numbers of methods mean where another parametrisation is in use; may be empty.
std::vector<std::string> parametrisations(const std::vector<lab::NetworkFidelity>& results);

/// The cells of the table: a header, and a line per method and layer.
std::vector<std::vector<std::string>> network_lines(
    const std::vector<lab::NetworkFidelity>& results);

/// The methods that are measured where none is asked for.
inline constexpr const char* kNetworkMethods = "psa;st;hard_st;zgr;darn;reinforce";

}  // namespace gradthru::cli
