#include "cli/report/tables.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "cli/report/text.h"

namespace gradthru::cli {
namespace {

using experiments::Better;
using experiments::Published;
using report::Table;

const char* const kNothing = "–";

/// All digits; empty where there is nothing.
std::string exact_text(double value) {
  return std::isfinite(value) ? nlohmann::json(value).dump() : "";
}

const train::Config* config_of(const Setting& setting) {
  for (const MethodRuns& method : setting.methods) {
    if (!method.runs.empty()) return &method.runs.front()->config;
  }
  return nullptr;
}

std::vector<Published> published_beside(const Group& group, const Setting& setting) {
  std::vector<Published> all;
  const train::Config* config = config_of(setting);
  if (config == nullptr) return all;
  for (Published& figure : experiments::published_figures(*group.experiment)) {
    if (experiments::has_settings(*config, figure.set)) all.push_back(std::move(figure));
  }
  return all;
}

std::string value_of(const Published& figure) {
  return figure.sd ? with_error(figure.value, *figure.sd) : train::readable(figure.value);
}

std::string seeds_text(const MethodRuns& method, size_t values) {
  std::string text = std::to_string(values);
  if (method.diverged > 0) text += " (+" + std::to_string(method.diverged) + " diverged)";
  return text;
}

double mean_wall(const MethodRuns& method) {
  double sum = 0;
  for (const Run* run : method.runs) sum += run->summary.wall_s;
  return sum / static_cast<double>(method.runs.size());
}

std::string verdict(const PairedDifference& d) {
  if (d.seeds < 2) return "one seed tells nothing";
  if (d.mean == 0 && d.standard_error == 0) return "same figures";
  if (!d.is_significant()) return "not significant";
  return d.mean > 0 ? "significantly worse" : "significantly better";
}

/// The cells of a method that say how it stands to the best.
std::vector<std::string> against_best(const Ranking& ranking, size_t m) {
  if (!ranking.best) return {kNothing, kNothing, kNothing, kNothing};
  if (m == *ranking.best) return {"best", kNothing, kNothing, kNothing};
  const PairedDifference& d = ranking.behind_best[m];
  const std::string gap = with_error(d.mean, d.standard_error);
  if (d.seeds < 2) return {gap, kNothing, kNothing, "one seed tells nothing"};
  char p[32];
  std::snprintf(p, sizeof p, d.p < 1e-4 ? "< 0.0001" : "%.2g", d.p);
  return {gap,
          number_text(d.low, d.standard_error) + " to " + number_text(d.high, d.standard_error), p,
          ranking.competes[m] ? verdict(d) : "no estimator"};
}

/// Methods by rank, then those without a value.
std::vector<size_t> lines_of(const Setting& setting, const Ranking& ranking) {
  std::vector<size_t> lines = ranking.order;
  for (size_t m = 0; m < setting.methods.size(); ++m) {
    if (std::find(lines.begin(), lines.end(), m) == lines.end()) lines.push_back(m);
  }
  return lines;
}

/// The line of the table that begins with this name; a new one, without figures, if there is none.
size_t line_named(Table& table, const std::string& name) {
  for (size_t i = 1; i < table.lines.size(); ++i) {
    if (table.lines[i].front() == name) return i;
  }
  table.lines.emplace_back(table.lines[0].size(), kNothing);
  table.lines.back().front() = name;
  return table.lines.size() - 1;
}

/// Published figures of one metric in a column at this place: beside the method, or in lines of
/// their own.
void add_published(Table& table, size_t column, const std::vector<Published>& figures,
                   const std::string& metric, const std::vector<std::string>& methods) {
  const auto is_of_metric = [&](const Published& figure) { return figure.metric == metric; };
  if (std::none_of(figures.begin(), figures.end(), is_of_metric)) return;
  const auto at = static_cast<std::ptrdiff_t>(column);
  for (auto& line : table.lines) line.insert(line.begin() + at, kNothing);
  for (auto& [line, bold_column] : table.bold) bold_column += bold_column >= column ? 1 : 0;
  table.lines[0][column] = "published";
  for (const Published& figure : figures) {
    if (!is_of_metric(figure)) continue;
    const std::string spec = figure.method ? to_string(*figure.method) : "";
    const bool here = std::find(methods.begin(), methods.end(), spec) != methods.end();
    const size_t line = line_named(table, here ? spec : figure.label + " (published)");
    table.lines[line][column] = value_of(figure) + (here ? " (" + figure.label + ")" : "");
  }
}

/// The columns of the closing table that some run has.
std::vector<std::string> present_columns(const Group& group, const Setting& setting) {
  std::vector<std::string> present;
  for (const std::string& column : group.experiment->columns) {
    for (const MethodRuns& method : setting.methods) {
      if (sample_of(method, column).size() == 0) continue;
      present.push_back(column);
      break;
    }
  }
  return present;
}

}  // namespace

Table ranking_table(const Group& group, const Setting& setting, const Ranking& ranking) {
  const std::string direction = ranking.better == Better::less      ? " (less is better)"
                                : ranking.better == Better::greater ? " (more is better)"
                                                                    : "";
  Table table;
  table.lines = {{"method", "seeds", title_of(group, ranking.metric) + direction, "std. error",
                  "behind the best ± std. error", "95 % interval", "p", "verdict",
                  "time of a run"}};
  std::vector<std::string> methods;
  for (const size_t m : lines_of(setting, ranking)) {
    const MethodRuns& method = setting.methods[m];
    const Sample& sample = ranking.samples[m];
    std::vector<std::string> line = {method.name, seeds_text(method, sample.size())};
    methods.push_back(method.name);
    if (sample.size() == 0) {
      line.resize(table.lines[0].size(), kNothing);
    } else {
      line.push_back(with_error(sample.mean(), sample.sd()));
      line.push_back(error_text(sample.standard_error()));
      for (const std::string& cell : against_best(ranking, m)) line.push_back(cell);
      line.push_back(time_text(mean_wall(method)));
    }
    if (ranking.clear && m == ranking.best) {
      table.bold = {{table.lines.size(), 0}, {table.lines.size(), 2}};
    }
    table.lines.push_back(line);
  }
  constexpr size_t kAfterMean = 3;
  add_published(table, kAfterMean, published_beside(group, setting), ranking.metric, methods);
  return table;
}

Table metrics_table(const Group& group, const Setting& setting) {
  Table table;
  table.lines = {{"method", "seeds"}};
  std::vector<std::string> methods;
  for (const MethodRuns& method : setting.methods) {
    methods.push_back(method.name);
    table.lines.push_back({method.name, seeds_text(method, method.runs.size())});
  }
  const auto columns = present_columns(group, setting);
  for (const std::string& column : columns) {
    const Ranking ranking = rank(setting, column, quantity_of(group, column).better);
    table.lines[0].push_back(title_of(group, column));
    for (size_t m = 0; m < setting.methods.size(); ++m) {
      const Sample& sample = ranking.samples[m];
      table.lines[m + 1].push_back(sample.size() > 0 ? with_error(sample.mean(), sample.sd())
                                                     : kNothing);
      if (ranking.clear && m == ranking.best) {
        table.bold.emplace_back(m + 1, table.lines[0].size() - 1);
      }
    }
  }
  const auto published = published_beside(group, setting);
  for (size_t i = columns.size(); i-- > 0;) {
    // The main metric's stand in the table of the ranking.
    if (columns[i] != main_metric(group, setting)) {
      add_published(table, i + 3, published, columns[i], methods);
    }
  }
  return table;
}

Table settings_table(const Group& group) {
  std::vector<std::string> methods;
  Table table;
  table.lines = {{"setting"}};
  for (const Setting& setting : group.settings) {
    for (const MethodRuns& method : setting.methods) {
      const std::string spec = to_string(method.estimator);
      if (std::find(methods.begin(), methods.end(), spec) == methods.end()) methods.push_back(spec);
    }
  }
  table.lines[0].insert(table.lines[0].end(), methods.begin(), methods.end());
  for (const Setting& setting : group.settings) {
    std::vector<std::string> line(methods.size() + 1, kNothing);
    line[0] = setting.name;
    const auto metric = main_metric(group, setting);
    if (metric) {
      const Ranking ranking = rank(setting, *metric, quantity_of(group, *metric).better);
      for (const size_t m : ranking.order) {
        const auto at =
            std::find(methods.begin(), methods.end(), to_string(setting.methods[m].estimator));
        const auto column = 1 + static_cast<size_t>(at - methods.begin());
        const Sample& sample = ranking.samples[m];
        line[column] = with_error(sample.mean(), sample.sd());
        if (ranking.clear && m == ranking.best) {
          table.bold.emplace_back(table.lines.size(), column);
        }
      }
    }
    table.lines.push_back(line);
  }
  return table;
}

std::optional<Table> difference_table(const Group& group) {
  if (group.settings.size() != 2) return std::nullopt;
  const Setting &first = group.settings[0], &second = group.settings[1];
  const auto metric = main_metric(group, first);
  if (!metric || metric != main_metric(group, second)) return std::nullopt;
  Table table;
  table.caption =
      title_of(group, *metric) + ": " + second.name + " minus " + first.name + ", seed by seed.";
  table.lines = {{"method", first.name, second.name, "difference ± std. error", "95 % interval",
                  "seeds of both"}};
  for (const MethodRuns& method : first.methods) {
    for (const MethodRuns& other : second.methods) {
      if (method.name != other.name) continue;
      const Sample a = sample_of(method, *metric), b = sample_of(other, *metric);
      const PairedDifference d = paired_difference(a, b);
      if (d.seeds == 0) continue;
      const std::string interval =
          number_text(d.low, d.standard_error) + " to " + number_text(d.high, d.standard_error);
      table.lines.push_back({method.name, with_error(a.mean(), a.sd()),
                             with_error(b.mean(), b.sd()), with_error(d.mean, d.standard_error),
                             d.seeds < 2 ? kNothing : interval, std::to_string(d.seeds)});
    }
  }
  if (table.lines.size() == 1) return std::nullopt;
  return table;
}

std::string settings_of_methods(const Setting& setting) {
  std::vector<const Run*> runs;
  for (const MethodRuns& method : setting.methods) {
    runs.insert(runs.end(), method.runs.begin(), method.runs.end());
  }
  std::vector<std::string> all;
  for (const MethodRuns& method : setting.methods) {
    if (method.runs.empty()) continue;
    const std::string own = settings_text(*method.runs.front(), varying_keys(runs), true);
    if (!own.empty()) all.push_back(method.name + " (" + own + ")");
  }
  return all.empty() ? ""
                     : "By the recipe each method has settings of its own: " + listed(all) + ".";
}

std::vector<std::vector<std::string>> figures_csv(const Group& group) {
  std::vector<std::vector<std::string>> lines = {
      {"setting", "method", "metric", "seeds", "diverged", "mean", "sd", "standard_error",
       "behind_best", "behind_best_standard_error", "interval_low", "interval_high", "p",
       "paired_seeds", "is_best", "is_clear"}};
  for (const Setting& setting : group.settings) {
    std::vector<std::string> metrics = present_columns(group, setting);
    const auto main = main_metric(group, setting);
    if (main && std::find(metrics.begin(), metrics.end(), *main) == metrics.end()) {
      metrics.insert(metrics.begin(), *main);
    }
    for (const std::string& metric : metrics) {
      const Ranking ranking = rank(setting, metric, quantity_of(group, metric).better);
      for (size_t m = 0; m < setting.methods.size(); ++m) {
        const Sample& sample = ranking.samples[m];
        const bool best = ranking.best && m == *ranking.best;
        const PairedDifference d = ranking.best && !best
                                       ? ranking.behind_best[m]
                                       : PairedDifference{0, NAN, NAN, NAN, NAN, NAN};
        lines.push_back({setting.name, setting.methods[m].name, metric,
                         std::to_string(sample.size()), std::to_string(setting.methods[m].diverged),
                         sample.size() > 0 ? exact_text(sample.mean()) : "",
                         exact_text(sample.sd()), exact_text(sample.standard_error()),
                         exact_text(d.mean), exact_text(d.standard_error), exact_text(d.low),
                         exact_text(d.high), exact_text(d.p), std::to_string(d.seeds),
                         best ? "1" : "0", best && ranking.clear ? "1" : "0"});
      }
    }
  }
  return lines;
}

std::vector<std::string> sources_of_published(const Group& group, const Setting& setting) {
  std::vector<std::string> all;
  for (const Published& figure : published_beside(group, setting)) {
    const std::string text = "Published figures (" + figure.source + "): " + figure.from + ".";
    if (std::find(all.begin(), all.end(), text) == all.end()) all.push_back(text);
  }
  return all;
}

}  // namespace gradthru::cli
