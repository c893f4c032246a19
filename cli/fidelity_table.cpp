#include "cli/fidelity_table.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "cli/columns.h"

namespace gradthru::cli {
namespace {

using Json = nlohmann::json;
using lab::Fidelity;

/// [[...], ...] for the rows of one element of the batch; a list of those for several.
Json json_of(const at::Tensor& gradient) {
  const at::Tensor t = gradient.size(0) == 1 ? gradient[0] : gradient;
  if (t.dim() == 1) {
    const at::Tensor row = t.contiguous();
    const double* begin = row.const_data_ptr<double>();
    return Json(std::vector<double>(begin, begin + row.numel()));
  }
  Json all = Json::array();
  for (int64_t i = 0; i < t.size(0); ++i) {
    all.push_back(t.dim() == 2 ? json_of(t[i]) : json_of(t[i].unsqueeze(0)));
  }
  return all;
}

}  // namespace

std::string interval_cell(const lab::Interval& i, bool enumerated) {
  const std::string value = number_cell("%.4g", i.value);
  if (enumerated || std::isnan(i.value)) return value;
  return value + " [" + number_cell("%.3g", i.low) + ", " + number_cell("%.3g", i.high) + "]";
}

Json json_of(const lab::Interval& i) {
  return Json::array({i.low, i.high});
}

Json by_samples_json(const std::vector<lab::AtSamples>& by_samples) {
  const auto json = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  Json all = Json::array();
  for (const lab::AtSamples& at : by_samples) {
    all.push_back({{"M", at.M},
                   {"relative_rmse", at.relative_rmse},
                   {"cosine", json(at.cosine)},
                   {"cosine_15", json(at.cosine_low)},
                   {"cosine_85", json(at.cosine_high)}});
    if (!at.rmse_low) continue;
    all.back()["relative_rmse_95"] = Json::array({*at.rmse_low, *at.rmse_high});
  }
  return all;
}

std::string problem_line(const lab::Problem& problem) {
  return problem.name + ", " + (problem.B() == 1 ? "" : std::to_string(problem.B()) + " rows of ") +
         std::to_string(problem.L()) + (problem.L() == 1 ? " variable of " : " variables of ") +
         std::to_string(problem.K()) + " categories";
}

std::vector<std::vector<std::string>> fidelity_lines(const std::vector<Fidelity>& results) {
  std::vector<std::vector<std::string>> lines = {
      {"method", "tau_f", "how", "relative bias", "cosine", "relative std", "variance", "f evals"}};
  const bool gaps = std::any_of(results.begin(), results.end(),
                                [](const Fidelity& f) { return f.gradient_gap.has_value(); });
  if (gaps) lines[0].push_back("gradient gap");
  for (const Fidelity& f : results) {
    const double count = evaluations(f.estimator, f.mean.size(1), f.mean.size(2));
    lines.push_back({to_string(f.estimator), number_cell("%g", f.tau_f),
                     f.enumerated ? "enumerated" : "sampled",
                     interval_cell(f.relative_bias, f.enumerated),
                     interval_cell(f.cosine, f.enumerated), number_cell("%.4g", f.relative_std),
                     number_cell("%.4g", f.variance), number_cell("%g", count)});
    if (gaps) lines.back().push_back(f.gradient_gap ? interval_cell(*f.gradient_gap, false) : "-");
  }
  return lines;
}

std::string fidelity_table(const std::vector<Fidelity>& results) {
  return in_columns(fidelity_lines(results));
}

Json fidelity_json(const lab::Problem& problem, const std::vector<Fidelity>& results) {
  Json all = Json::array();
  for (const Fidelity& f : results) {
    all.push_back({{"method", to_string(f.estimator)},
                   {"tau_f", f.tau_f},
                   {"target_tau", f.target_tau},
                   {"how", f.enumerated ? "enumerated" : "sampled"},
                   {"draws", f.draws},
                   {"evaluations", evaluations(f.estimator, problem.L(), problem.K())},
                   {"exact_gradient", json_of(f.exact_gradient)},
                   {"expected_estimate", json_of(f.mean)},
                   {"relative_bias", f.relative_bias.value},
                   {"relative_bias_95", json_of(f.relative_bias)},
                   {"squared_relative_bias", f.squared_bias},
                   {"cosine", f.cosine.value},
                   {"cosine_95", json_of(f.cosine)},
                   {"variance", f.variance},
                   {"relative_std", f.relative_std},
                   {"standard_error", f.standard_error},
                   {"by_samples", by_samples_json(f.by_samples)}});
    if (f.gradient_gap) {
      all.back()["gradient_gap"] = f.gradient_gap->value;
      all.back()["gradient_gap_95"] = json_of(*f.gradient_gap);
    }
  }
  return {{"problem", problem.name},
          {"batch", problem.B()},
          {"latent", Json::array({problem.L(), problem.K()})},
          {"results", all}};
}

}  // namespace gradthru::cli
