#include "cli/run_command.h"

#include <ATen/Parallel.h>

#include <iostream>
#include <memory>
#include <string>

#include "cli/report/tensorboard.h"
#include "experiments/dry_run.h"
#include "experiments/sweep.h"

namespace gradthru::cli {
namespace {

constexpr const char* kFooter =
    "Example:\n"
    "  gradthru run vae --preset short --methods \"reinmax(1.3);st(1.3)\" --seeds 0..2 \\\n"
    "      --set latent=8x4 --out runs/mine\n"
    "Methods are spec strings: gradthru list estimators. Keys of --set: gradthru list experiments.";

struct RunOptions {
  experiments::SweepRequest request;
  std::string methods, seeds, config, out, resume, dry_run;
  int threads = 0;
  bool tensorboard = false;
};

experiments::DryRun dry_run_of(const std::string& text) {
  if (text == "plan") return experiments::DryRun::plan;
  if (text == "batch") return experiments::DryRun::batch;
  if (text == "time") return experiments::DryRun::time;
  if (text == "last") return experiments::DryRun::last;
  throw InvalidInput("--dry-run must be alone, plan, batch, time or last, got '" + text + "'");
}

/// What was given counts, even when it is empty: `--seeds ""` is a slip, not the default.
int run(RunOptions& options, const CLI::App& command) {
  auto& request = options.request;
  if (command.count("--methods") > 0) request.methods = options.methods;
  if (command.count("--seeds") > 0) request.seeds = options.seeds;
  if (command.count("--config") > 0) request.config_file = options.config;
  if (command.count("--out") > 0) {
    if (options.out.empty()) throw InvalidInput("--out must name a folder, got ''");
    request.out = options.out;
  }
  if (command.count("--resume") > 0) {
    request.resume = train::Resume::yes;
    if (options.resume != "last" && options.resume != "best") {
      throw InvalidInput("--resume must be alone, last or best, got '" + options.resume + "'");
    }
    if (options.resume == "best") request.from = train::From::best;
  }
  if (options.tensorboard) request.observe = live_event_file;
  if (options.threads > 0) at::set_num_threads(options.threads);
  if (command.count("--dry-run") > 0) {
    experiments::dry_run(request, dry_run_of(options.dry_run), std::cin, std::cout);
    return 0;
  }
  return experiments::run_sweep(request);
}

}  // namespace

void add_run_command(CLI::App& program, int& exit_code) {
  auto* command = program.add_subcommand("run", "Trains an experiment with any of the estimators");
  const auto options = std::make_shared<RunOptions>();
  command->footer(kFooter);
  command->add_option("experiment", options->request.experiment, "Name: gradthru list experiments")
      ->required();
  command->add_option("--preset", options->request.preset, "smoke, short or paper")
      ->capture_default_str();
  command->add_option("--methods", options->methods, "Estimators separated by ';'");
  command->add_option("--seeds", options->seeds, "Root seeds: 0..4, or 0,2,5");
  command->add_option("--set", options->request.assignments, "Overrides a key: key=value")
      ->allow_extra_args(false)
      ->take_all();
  command->add_option("--config", options->config,
                      "TOML file with keys, such as a run's config.toml");
  command->add_option("--out", options->out, "Folder of the run; default runs/<experiment>/...");
  command->add_flag("--resume{last}", options->resume,
                    "Goes on with what is in the folder; --resume=best from the best checkpoint");
  command->add_flag("--dry-run{plan}", options->dry_run,
                    "Checks and prints the runs as JSON, makes none; --dry-run=time measures, too");
  command->add_flag("--tensorboard", options->tensorboard,
                    "Each run also writes an event file for TensorBoard into its folder");
  command->add_option("--threads", options->threads, "Threads; default: all cores")
      ->check(CLI::Range(1, 1024));
  command->callback([options, command, &exit_code] { exit_code = run(*options, *command); });
}

}  // namespace gradthru::cli
