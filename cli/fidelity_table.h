#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/fidelity.h"

namespace gradthru::cli {

/// "0.0712", and with its interval where it was estimated: "0.0712 [0.069, 0.073]".
std::string interval_cell(const lab::Interval& interval, bool enumerated);

/// [low, high].
nlohmann::json json_of(const lab::Interval& interval);

/// [{"M", "relative_rmse", ...}, ...]
nlohmann::json by_samples_json(const std::vector<lab::AtSamples>& by_samples);

/// "quadratic, 3 variables of 4 categories".
std::string problem_line(const lab::Problem& problem);

/// The cells of the table: a header, and one line per estimator.
std::vector<std::vector<std::string>> fidelity_lines(const std::vector<lab::Fidelity>& results);

/// They as text, in columns.
std::string fidelity_table(const std::vector<lab::Fidelity>& results);

/// Every figure: {"problem", "latent", "results": [...]} in the order given.
nlohmann::json fidelity_json(const lab::Problem& problem,
                             const std::vector<lab::Fidelity>& results);

}  // namespace gradthru::cli
