#include "cli/report_command.h"

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <vector>

#include "cli/report/page.h"
#include "cli/report/tensorboard.h"
#include "experiments/results.h"
#include "train/atomic_file.h"

namespace gradthru::cli {
namespace {

namespace fs = std::filesystem;

struct ReportCommand {
  std::vector<fs::path> folders;
  std::optional<fs::path> out, tensorboard;
  bool check = false;
  bool latex = false;
};

/// The page and what lies beside it, each file in one step.
void write_report(const ReportCommand& asked, const experiments::Results& results) {
  const Runs runs = arranged(results);
  const Report report = make_report(runs, {GRADTHRU_VERSION, asked.latex});
  fs::create_directories(*asked.out);
  for (const auto& [name, content] : report.files) {
    train::write_atomically(*asked.out / name, content);
  }
  train::write_atomically(*asked.out / "report.html", report::html(report.page));
  for (const LeftOut& out : runs.left_out) {
    std::cout << out.what << ": " << out.folder.string() << " (" << out.why << ")\n";
  }
  std::cout << "report: " << (*asked.out / "report.html").string() << "\n";
}

int run(const ReportCommand& asked) {
  if (asked.latex && !asked.out) throw InvalidInput("--latex writes files: it needs --out");
  if (asked.tensorboard) {
    const size_t n = write_event_files(asked.folders, *asked.tensorboard);
    std::cout << "event files of " << n << " runs: " << asked.tensorboard->string() << "\n";
  }
  if (asked.tensorboard && !asked.out && !asked.check) return 0;
  const auto results = experiments::read_results(asked.folders);
  if (asked.out) write_report(asked, results);
  if (!asked.out && !asked.tensorboard) experiments::print_tables(results, std::cout);
  if (!asked.check) return 0;
  return experiments::print_check(results, std::cout) ? 0 : 1;
}

}  // namespace

void add_report_command(CLI::App& program, int& exit_code) {
  auto* command = program.add_subcommand(
      "report", "Tables of runs, or a page with charts; held to what is expected");
  const auto asked = std::make_shared<ReportCommand>();
  command->footer(
      "Without --out: tables. With it: report.html, which needs no other file and no network, and\n"
      "a CSV file for each table and chart.\n"
      "Example: gradthru report runs/poly --check\n"
      "         gradthru report runs --out report");
  command->add_option("folders", asked->folders, "Folders of runs, or folders that hold some")
      ->required();
  command->add_option("--out", asked->out, "Folder for report.html and the files beside it");
  command->add_flag("--latex", asked->latex, "With --out: the tables as LaTeX, too (booktabs)");
  command->add_option("--tensorboard", asked->tensorboard,
                      "Folder for event files of every run, for TensorBoard");
  command->add_flag("--check", asked->check,
                    "Exits 1 if a figure lies outside the interval of expected.json");
  command->callback([asked, &exit_code] { exit_code = run(*asked); });
}

}  // namespace gradthru::cli
