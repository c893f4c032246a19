#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/report/comparison.h"
#include "report/page.h"

// The tables of a report.
namespace gradthru::cli {

/// Methods by one metric: mean, deviation, error, paired differences, what others published.
report::Table ranking_table(const Group& group, const Setting& setting, const Ranking& ranking);

/// Every metric of the closing table of `gradthru run`.
report::Table metrics_table(const Group& group, const Setting& setting);

/// A line a setting, a column a method: where the group has several settings.
report::Table settings_table(const Group& group);

/// Where a group has two settings: the main metric of each method in both, and the difference over
/// the seeds that both have.
std::optional<report::Table> difference_table(const Group& group);

/// Where the recipe has values by method, such as learning rates: which method had which, in a
/// sentence. Empty where all are equal.
std::string settings_of_methods(const Setting& setting);

/// A line for each method and metric, with all digits: setting, method, metric, seeds, mean, …
std::vector<std::vector<std::string>> figures_csv(const Group& group);

/// Where the published figures of a setting come from, a text each; empty if it has none.
std::vector<std::string> sources_of_published(const Group& group, const Setting& setting);

}  // namespace gradthru::cli
