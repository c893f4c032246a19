#pragma once

#include <string>

namespace gradthru::cli {

/// `gradthru fidelity --network FILE`: mean and variance of estimators of a binary network's
/// gradient, layer by layer, all enumerated; a table, and every figure in the file `json` if it is
/// not empty. `methods` are names separated by ';'. Errors: InvalidInput for the file or a method.
int network_fidelity(const std::string& path, const std::string& methods, const std::string& json);

/// The methods that are measured where none is asked for.
inline constexpr const char* kNetworkMethods = "psa;st;hard_st;zgr;darn;reinforce";

}  // namespace gradthru::cli
