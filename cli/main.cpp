#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <string>

#include "cli/data_command.h"
#include "cli/list_command.h"
#include "cli/run_command.h"
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
    "  gradthru run vae --preset smoke      trains a categorical VAE, ends with a table\n\n"
    "Every command has --help.\n";

/// The first line of a message: errors of Torch carry a stack behind it.
std::string one_line(const std::string& message) {
  return message.substr(0, message.find('\n'));
}

/// CLI11 words its errors itself; the exit code is ours.
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
    std::cerr << "gradthru: " << one_line(error.what()) << " (see gradthru --help)\n";
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
  gradthru::cli::add_data_command(program, exit_code);
  try {
    const int parsed = parse(program, argc, argv);
    return parsed != 0 ? parsed : exit_code;
  } catch (const gradthru::InvalidInput& mistake) {
    std::cerr << "gradthru: " << mistake.what() << "\n";
    return kMistake;
  } catch (const std::exception& failure) {
    std::cerr << "gradthru: " << one_line(failure.what()) << "\n";
    return kFailure;
  }
}
