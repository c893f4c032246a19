#include "cli/sweep_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gradthru/error.h"

namespace gradthru::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFooter =
    "CONFIG is a TOML file: experiment, fixed settings, space, objective, sampler "
    "(docs/sweeps.md).\n"
    "The same command goes on with a study that was interrupted, or joins one that runs.\n\n"
    "Example:\n"
    "  gradthru sweep temperatures.toml --plan\n"
    "  gradthru sweep temperatures.toml --workers 2";

struct SweepOptions {
  std::string config, out;
  int workers = 0;
  bool plan = false, join = false, retry_failed = false;
};

/// The interpreter, as execvp takes it.
std::string interpreter() {
  if (const char* named = std::getenv("GRADTHRU_PYTHON"); named && *named) return named;
  return fs::exists(GRADTHRU_BUILT_WITH_PYTHON) ? GRADTHRU_BUILT_WITH_PYTHON : "python3";
}

std::vector<std::string> words_of(const SweepOptions& options, const std::string& python) {
  std::vector<std::string> words = {python, "-m", "gradthru_sweep", options.config};
  words.insert(words.end(), {"--program", fs::read_symlink("/proc/self/exe").string()});
  if (!options.out.empty()) words.insert(words.end(), {"--out", options.out});
  if (options.workers > 0) {
    words.insert(words.end(), {"--workers", std::to_string(options.workers)});
  }
  if (options.plan) words.push_back("--plan");
  if (options.join) words.push_back("--join");
  if (options.retry_failed) words.push_back("--retry-failed");
  return words;
}

/// Replaces this process, so that signals and the exit code are the engine's own.
[[noreturn]] void become(const std::vector<std::string>& words) {
  std::string path = GRADTHRU_SWEEP_ENGINE;
  if (!fs::exists(fs::path(path) / "gradthru_sweep")) {
    throw InvalidInput("sweep: its engine is not in '" + path + "' any more; build again");
  }
  if (const char* others = std::getenv("PYTHONPATH"); others && *others)
    path += ":" + std::string(others);
  ::setenv("PYTHONPATH", path.c_str(), 1);
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  throw InvalidInput("sweep: cannot start Python as '" + words[0] + "' (" + std::strerror(errno) +
                     "); GRADTHRU_PYTHON names an interpreter, 3.11 or newer");
}

}  // namespace

void add_sweep_command(CLI::App& program) {
  auto* command = program.add_subcommand(
      "sweep",
      "Searches settings of an experiment: grid, random or model-based, several processes");
  const auto options = std::make_shared<SweepOptions>();
  command->footer(kFooter);
  command->add_option("config", options->config, "TOML file of the study")->required();
  command->add_option("--out", options->out, "Folder of the study; default runs/sweep-<study>");
  command->add_option("--workers", options->workers, "Processes here; default: as many as cores")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--plan", options->plan, "Prints what would run, and how long; runs nothing");
  command->add_flag("--join", options->join,
                    "Only lends workers to a study that exists, such as one of another machine");
  command->add_flag("--retry-failed", options->retry_failed, "Runs trials that failed once more");
  command->callback([options] { become(words_of(*options, interpreter())); });
}

}  // namespace gradthru::cli
