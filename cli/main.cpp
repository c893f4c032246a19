#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/bench_command.h"
#include "cli/data_command.h"
#include "cli/fidelity_command.h"
#include "cli/list_command.h"
#include "cli/report_command.h"
#include "cli/run_command.h"
#include "cli/sweep_command.h"
#include "gradthru/error.h"

namespace {

constexpr int kFailure = 1;
constexpr int kMistake = 2;

constexpr const char* kWelcome =
    "gradthru: gradients through discrete steps\n\n"
    "Trains models with discrete latent variables and compares the gradient estimators.\n\n"
    "  gradthru list estimators             what can be compared\n"
    "  gradthru data list                   which data sets are here\n"
    "  gradthru data fetch mnist            downloads and checks one\n"
    "  gradthru run vae --preset smoke      trains a categorical VAE, ends with a table\n"
    "  gradthru sweep study.toml            searches settings, on every core; see docs/sweeps.md\n"
    "  gradthru report runs --check         tables of runs, held to what is expected\n"
    "  gradthru fidelity --problem quadratic    bias and variance of the estimators\n"
    "  gradthru bench --shapes 3000x10      how fast this machine is, against eager LibTorch\n\n"
    "Every command has --help.\n";

/// The first line of a message: errors of Torch carry a stack behind it.
std::string first_line(const std::string& message) {
  return message.substr(0, message.find('\n'));
}

/// The message without the line breaks that what the user gave may hold.
std::string in_one_line(std::string message) {
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return message;
}

/// The first word that no command knows, with the nearest one that exists; "" if all are known.
std::string unknown_word(CLI::App& program) {
  const auto words = program.remaining(/*recurse=*/true);
  const CLI::App* command = &program;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  std::vector<std::string> options = {"--help"}, commands;
  for (const CLI::Option* option : command->get_options()) {
    for (const auto& name : option->get_lnames()) options.push_back("--" + name);
  }
  for (const CLI::App* one : command->get_subcommands([](const CLI::App*) { return true; })) {
    commands.push_back(one->get_name());
  }
  for (const auto& word : words) {
    if (word.starts_with("-")) {
      return "unknown option '" + word + "'" +
             gradthru::did_you_mean(word.substr(0, word.find('=')), options);
    }
  }
  if (words.empty() || commands.empty()) return "";
  return "unknown command '" + words[0] + "'" + gradthru::did_you_mean(words[0], commands);
}

/// CLI11 words its errors itself, except where we know a nearer name; the exit code is ours.
int parse(CLI::App& program, int argc, char** argv) {
  try {
    program.parse(argc, argv);
    return 0;
  } catch (const CLI::CallForHelp& help) {
    return program.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return program.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return program.exit(version);
  } catch (const CLI::ParseError& error) {
    const std::string unknown = unknown_word(program);
    std::cerr << "gradthru: " << in_one_line(unknown.empty() ? error.what() : unknown)
              << " (see gradthru --help)\n";
    return kMistake;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    std::cout << kWelcome;
    return 0;
  }
  CLI::App program("gradthru: gradients through discrete steps", "gradthru");
  program.set_version_flag("--version", GRADTHRU_VERSION);
  program.footer("Example: gradthru run vae --preset smoke");
  program.require_subcommand(1);
  int exit_code = 0;
  gradthru::cli::add_list_command(program);
  gradthru::cli::add_run_command(program, exit_code);
  gradthru::cli::add_sweep_command(program);
  gradthru::cli::add_report_command(program, exit_code);
  gradthru::cli::add_data_command(program, exit_code);
  gradthru::cli::add_bench_command(program, exit_code);
  gradthru::cli::add_fidelity_command(program, exit_code);
  try {
    const int parsed = parse(program, argc, argv);
    return parsed != 0 ? parsed : exit_code;
  } catch (const gradthru::InvalidInput& mistake) {
    std::cerr << "gradthru: " << in_one_line(mistake.what()) << "\n";
    return kMistake;
  } catch (const std::exception& failure) {
    std::cerr << "gradthru: " << in_one_line(first_line(failure.what())) << "\n";
    return kFailure;
  }
}
