#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/fidelity.h"

namespace gradthru::cli {

/// One line per estimator.
std::string fidelity_table(const std::vector<lab::Fidelity>& results);

/// Every figure: {"problem", "latent", "results": [...]} in the order given.
nlohmann::json fidelity_json(const lab::Problem& problem,
                             const std::vector<lab::Fidelity>& results);

}  // namespace gradthru::cli
