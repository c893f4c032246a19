#include "cli/report/page.h"

#include <algorithm>
#include <map>
#include <set>

#include "cli/report/commands.h"
#include "cli/report/comparison.h"
#include "cli/report/pictures.h"
#include "cli/report/plots.h"
#include "cli/report/tables.h"
#include "cli/report/text.h"
#include "experiments/run_plan.h"
#include "report/export.h"

namespace gradthru::cli {
namespace {

using report::Heading;
using report::Listing;
using report::Paragraph;
using report::Table;

constexpr const char* kHowToRead =
    "How to read the tables: a value is the mean over seeds ± the sample standard deviation. All "
    "methods with the same seed began with the same weights and saw the same data in the same "
    "order, so they are compared seed by seed: “behind the best” is the mean of those differences, "
    "its standard error the one of that mean, the interval and p those of Student's t. A result is "
    "called significant if the 95 % interval leaves out zero. The best is in bold if it leads "
    "every "
    "other method by more than twice the standard error of their difference; with few seeds that "
    "is "
    "less than significance. The intervals are not widened for the number of methods compared.";

class Builder {
 public:
  Builder(const Runs& runs, const ReportOptions& options) : runs_(runs), options_(options) {}

  Report build() {
    report_.page.title = title();
    add(Paragraph{opening()});
    add(report::Contents{});
    if (!runs_.groups.empty()) at_a_glance();
    for (const Group& group : runs_.groups) tell(group);
    left_out();
    provenance();
    if (!report::has_charts()) {
      add(
          Paragraph{"This program was built without the scripts that draw charts; the figures "
                    "lie in the CSV files beside this page."});
    }
    return std::move(report_);
  }

 private:
  template <typename Part>
  void add(Part part) {
    report_.page.parts.emplace_back(std::move(part));
  }

  void heading(int level, const std::string& text) {
    std::string id = experiments::folder_name(text);
    while (!ids_.insert(id).second) id += "-";
    add(Heading{text, level, id});
  }

  void file(const std::string& name, const std::string& content) {
    report_.files.emplace_back(experiments::folder_name(name), content);
  }

  void table(const std::string& name, Table table) {
    if (options_.latex) file(name + ".tex", report::latex(table));
    add(std::move(table));
  }

  std::string title() const {
    std::set<std::string> names;
    for (const Group& group : runs_.groups) names.insert(group.experiment->name);
    if (names.empty()) return "Report: no finished run";
    return "Report: " + listed({names.begin(), names.end()});
  }

  std::string opening() const {
    size_t complete = 0;
    for (const Run& run : runs_.all) complete += run.summary.status == train::Status::complete;
    std::string text =
        counted(complete, "complete run") +
        " of gradient estimators for discrete "
        "random variables. A random choice has no slope: an estimator is a rule "
        "that passes a gradient through it all the same. Each method below is one "
        "such rule, written as gradthru takes it. Methods that are compared share the "
        "model, its first weights, the data and their order; where the recipe tunes "
        "the optimiser for each method, that is said.";
    if (!runs_.left_out.empty()) {
      text += " " + counted(runs_.left_out.size(), "folder") +
              " left out of the tables: see the list towards the end.";
    }
    return text;
  }

  static std::string name_of(const Group& group) {
    return group.experiment->name + ", preset " + group.preset;
  }

  size_t count_settings() const {
    size_t count = 0;
    for (const Group& group : runs_.groups) count += group.settings.size();
    return count;
  }

  void at_a_glance() {
    heading(2, "Results at a glance");
    for (const Group& group : runs_.groups) {
      for (const Setting& setting : group.settings) {
        const auto metric = main_metric(group, setting);
        if (!metric) continue;
        const auto ranking = rank(setting, *metric, quantity_of(group, *metric).better);
        const std::string where = setting.name.empty() ? "" : ", " + setting.name;
        add(Paragraph{name_of(group) + where + ": " + finding(group, setting, ranking), true});
      }
    }
    add(Paragraph{kHowToRead});
  }

  void tell(const Group& group) {
    const std::string stem = group.experiment->name + "-" + group.preset;
    heading(2, name_of(group));
    if (!group.about.question.empty()) add(Paragraph{group.about.question});
    add(Paragraph{what_ran(group)});
    file(stem + "-figures.csv", report::csv(figures_csv(group)));
    if (group.settings.size() > 1) settings_overview(group, stem);
    for (const Setting& setting : group.settings) {
      tell(group, setting, stem + (setting.name.empty() ? "" : "-" + setting.name));
    }
  }

  /// Methods, seeds and how long it was trained, in words.
  static std::string what_ran(const Group& group) {
    std::set<std::string> methods, lengths;
    std::set<uint64_t> seeds;
    double hours = 0;
    for (const Setting& setting : group.settings) {
      for (const MethodRuns& method : setting.methods) {
        methods.insert(to_string(method.estimator));
        for (const Run* run : method.runs) {
          seeds.insert(run->summary.seed);
          hours += run->summary.wall_s;
          for (const std::string key : {"epochs", "updates"}) {
            if (run->config.has(key)) lengths.insert(run->config.assignment(key));
          }
        }
      }
    }
    std::vector<std::string> names;
    for (const uint64_t seed : seeds) names.push_back(std::to_string(seed));
    std::string text = "What ran: " + counted(methods.size(), "method") + ", " +
                       (seeds.size() == 1 ? "seed " : "seeds ") + listed(names);
    if (group.settings.size() > 1) text += ", " + counted(group.settings.size(), "setting");
    if (!lengths.empty()) text += ", " + listed({lengths.begin(), lengths.end()});
    return text + "; " + time_text(hours) + " of training in all.";
  }

  void settings_overview(const Group& group, const std::string& stem) {
    const auto metric = main_metric(group, group.settings.front());
    Table all = settings_table(group);
    all.caption = "All settings: " + (metric ? title_of(group, *metric) : "") + ".";
    table(stem + "-settings", std::move(all));
    if (auto difference = difference_table(group)) {
      table(stem + "-difference", std::move(*difference));
    }
  }

  void tell(const Group& group, const Setting& setting, const std::string& stem) {
    if (group.settings.size() > 1) heading(3, group.experiment->name + ", " + setting.name);
    const auto metric = main_metric(group, setting);
    if (metric) {
      const auto ranking = rank(setting, *metric, quantity_of(group, *metric).better);
      if (count_settings() > 1) add(Paragraph{finding(group, setting, ranking), true});
      table(stem + "-ranking", ranking_table(group, setting, ranking));
      const std::string own = settings_of_methods(setting);
      if (!own.empty()) add(Paragraph{own});
      for (const std::string& source : sources_of_published(group, setting)) add(Paragraph{source});
      Table metrics = metrics_table(group, setting);
      metrics.caption = "All metrics at the end of training.";
      if (metrics.lines[0].size() > 3) table(stem + "-metrics", std::move(metrics));
      plots(stem, learning_curves(group, setting, ranking));
      plots(stem, list_plots(group, setting, ranking));
      plots(stem, heatmap_plots(group, setting, ranking));
    } else {
      add(Paragraph{"No complete run of this setting has a figure to compare."});
    }
    plots(stem, probe_plots(group, setting));
    plots(stem, gap_plots(group, setting));
    plots(stem, sample_curves(group, setting));
    pictures(setting);
  }

  void plots(const std::string& stem, std::vector<Plot> all) {
    for (Plot& plot : all) {
      file(stem + "-" + plot.name + ".csv", report::csv(plot.rows, plot.columns));
      if (report::has_charts()) add(std::move(plot.chart));
    }
  }

  /// Of each method the run with the least seed that has some.
  void pictures(const Setting& setting) {
    bool first = true;
    for (const MethodRuns& method : setting.methods) {
      for (const Run* run : method.runs) {
        auto parts = pictures_of(*run);
        if (parts.empty()) continue;
        if (first) add(Heading{"What the runs show", 4});
        first = false;
        for (auto& part : parts) {
          std::visit([&](auto& p) { add(std::move(p)); }, part);
        }
        break;
      }
    }
  }

  void left_out() {
    if (runs_.left_out.empty()) return;
    heading(2, "Folders that are left out");
    add(
        Paragraph{"Nothing of them is in any mean. Diverged runs are counted beside the seeds of "
                  "their method."});
    Table all{{{"folder", "state", "why"}}};
    for (const LeftOut& out : runs_.left_out) {
      all.lines.push_back({out.folder.string(), out.what, out.why});
    }
    file("left-out.csv", report::csv(all.lines));
    table("left-out", std::move(all));
  }

  void provenance() {
    if (runs_.all.empty()) return;
    heading(2, "How it was made");
    std::set<std::string> versions, devices;
    std::map<std::string, std::set<std::string>> data;
    for (const Run& run : runs_.all) {
      versions.insert(run.summary.version);
      devices.insert(run.summary.device);
      for (const auto& [name, hash] : run.summary.data) data[name].insert(hash);
    }
    add(Paragraph{"The runs were made by gradthru " + listed({versions.begin(), versions.end()}) +
                  " on " + listed({devices.begin(), devices.end()}) + ", this page by gradthru " +
                  options_.version + ". These commands repeat them:"});
    std::string commands;
    for (const Group& group : runs_.groups) {
      for (const Setting& setting : group.settings) {
        for (const auto& command : commands_for(group, setting)) commands += command + "\n";
      }
    }
    add(Listing{"Commands", commands});
    std::string files;
    for (const auto& [name, hashes] : data) {
      for (const auto& hash : hashes) files += hash + "  " + name + "\n";
    }
    if (!files.empty())
      add(Listing{"Data files that the runs read, with their SHA-256", files, true});
    runs();
  }

  void runs() {
    std::vector<std::vector<std::string>> lines = {{"experiment", "preset", "method", "seed",
                                                    "status", "steps", "seconds", "version",
                                                    "config_sha256", "folder"}};
    std::string text;
    for (const Run& run : runs_.all) {
      const train::Summary& s = run.summary;
      lines.push_back({s.experiment, s.preset, s.method, std::to_string(s.seed),
                       std::string(to_string(s.status)), std::to_string(s.steps),
                       nlohmann::json(s.wall_s).dump(), s.version, s.config_sha256,
                       run.folder.string()});
      text += run.folder.string() + ": " + std::string(to_string(s.status)) + ", " +
              std::to_string(s.steps) + " steps, " + time_text(s.wall_s) + "\n";
    }
    file("runs.csv", report::csv(lines));
    add(Listing{"Every run: " + std::to_string(runs_.all.size()), text, true});
  }

  const Runs& runs_;
  const ReportOptions& options_;
  Report report_;
  std::set<std::string> ids_;
};

}  // namespace

Report make_report(const Runs& runs, const ReportOptions& options) {
  return Builder(runs, options).build();
}

}  // namespace gradthru::cli
