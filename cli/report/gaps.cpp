#include <cmath>
#include <set>

#include "cli/report/plots.h"
#include "cli/report/text.h"

// What was probed of methods that fill a grid of two temperatures, over the backward one.
namespace gradthru::cli {
namespace {

using Json = nlohmann::json;

/// The last probed value of the name, over the seeds.
Spread last_probed(const MethodRuns& method, const std::string& name) {
  Spread spread;
  for (const Run* run : method.runs) {
    std::optional<double> last;
    for (const auto& line : run->lines) {
      if (line.kind != train::Kind::probe) continue;
      if (const auto value = number_in(line, name)) last = value;
    }
    if (last) spread.add(*last);
  }
  return spread;
}

}  // namespace

std::vector<Plot> gap_plots(const Group& group, const Setting& setting) {
  constexpr size_t kFewest = 2;  // temperatures that make a curve
  std::vector<report::Panel> panels;
  Json all = Json::array();
  std::set<double> forward;
  for (const std::string& name : group.about.probes) {
    Json rows = Json::array();
    std::set<double> backward;
    for (const MethodRuns& method : setting.methods) {
      if (!method.estimator.is_constant()) continue;
      const Spread value = last_probed(method, name);
      if (value.n == 0) continue;
      const double f = method.estimator.tau_f.start, b = method.estimator.tau_b.start;
      forward.insert(f);
      backward.insert(b);
      rows.push_back(
          {{"method", "tau_f = " + Json(f).dump()}, {"tau_b", b}, {"value", value.mean}});
      Json row = rows.back();
      row.update({{"figure", name}, {"estimator", method.name}, {"seeds", value.n}});
      all.push_back(std::move(row));
    }
    if (backward.size() < kFewest || forward.size() < kFewest) continue;
    const auto quantity = quantity_of(group, "train_" + name);
    report::Panel panel{.title = quantity.title, .rows = rounded(rows)};
    panel.x = report::log_column(panel.rows, {.key = "tau_b", .title = "tau_b (backward)"});
    panel.y = {.key = "value", .title = quantity.title};
    if (quantity.log) panel.y = report::log_column(panel.rows, panel.y);
    panels.push_back(std::move(panel));
  }
  if (panels.empty()) return {};
  report::Series series{"method", "forward temperature", {}};
  for (const double f : forward) series.order.push_back("tau_f = " + Json(f).dump());
  return {{"probe-by-temperature",
           {"After the last epoch, over the backward temperature.", report::panels(panels, series)},
           all,
           {"figure", "estimator", "tau_b", "value", "seeds"}}};
}

}  // namespace gradthru::cli
