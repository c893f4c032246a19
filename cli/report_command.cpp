#include "cli/report_command.h"

#include <filesystem>
#include <iostream>
#include <memory>
#include <vector>

#include "experiments/results.h"

namespace gradthru::cli {
namespace {

struct ReportCommand {
  std::vector<std::filesystem::path> folders;
  bool check = false;
};

int run(const ReportCommand& asked) {
  const auto results = experiments::read_results(asked.folders);
  experiments::print_tables(results, std::cout);
  if (!asked.check) return 0;
  return experiments::print_check(results, std::cout) ? 0 : 1;
}

}  // namespace

void add_report_command(CLI::App& program, int& exit_code) {
  auto* command = program.add_subcommand("report", "Tables of runs, held to what is expected");
  const auto asked = std::make_shared<ReportCommand>();
  command->footer("Example: gradthru report runs/poly --check");
  command->add_option("folders", asked->folders, "Folders of runs, or folders that hold some")
      ->required();
  command->add_flag("--check", asked->check,
                    "Exits 1 if a figure lies outside the interval of expected.json");
  command->callback([asked, &exit_code] { exit_code = run(*asked); });
}

}  // namespace gradthru::cli
