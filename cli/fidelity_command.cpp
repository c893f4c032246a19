#include "cli/fidelity_command.h"

#include <ATen/Parallel.h>

#include <charconv>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "cli/fidelity_table.h"
#include "lab/builtin_problems.h"
#include "lab/fidelity.h"
#include "lab/problem_file.h"
#include "train/atomic_file.h"

namespace gradthru::cli {
namespace {

constexpr const char* kFooter =
    "Example:\n"
    "  gradthru fidelity --problem quadratic --latent 3x4 --methods \"st;reinmax;gst;rloo(4)\"\n"
    "Problems: linear, quadratic, cubic, parity, polynomial (with --p and --c) and mlp, made from "
    "--seed,\nor a file of the format gradthru-problem (docs/fidelity.md). The exact gradient is "
    "that of the law\nwhich the method samples.";

constexpr const char* kMethods =
    "exact;st;zgr;reinmax(1.3);gst;gumbel_softmax;gumbel_rao;reinforce;rloo";

struct FidelityCommand {
  std::string problem, latent = "3x4", methods = kMethods, json;
  lab::ProblemSize size;
  lab::FidelityOptions options;
  uint64_t draw_seed = 0;
  int threads = 0;
};

/// "3x4": 3 variables of 4 categories.
void read_latent(const std::string& text, lab::ProblemSize& size) {
  const char* end = text.data() + text.size();
  const auto [cross, error] = std::from_chars(text.data(), end, size.L);
  if (error == std::errc() && cross != end && *cross == 'x') {
    const auto [last, more] = std::from_chars(cross + 1, end, size.K);
    if (more == std::errc() && last == end) return;
  }
  throw InvalidInput("--latent must be <variables>x<categories> such as 3x4, got '" + text + "'");
}

bool is_builtin(const std::string& name) {
  const auto& names = lab::builtin_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

lab::Problem problem_of(FidelityCommand& asked, const CLI::App& command) {
  const bool file = !is_builtin(asked.problem) && std::filesystem::exists(asked.problem);
  if (!file) {
    read_latent(asked.latent, asked.size);
    return lab::builtin_problem(asked.problem, asked.size);
  }
  for (const char* option : {"--latent", "--seed", "--p", "--c"}) {
    if (command.count(option) > 0) {
      throw InvalidInput(std::string(option) + " is for the built-in problems; '" + asked.problem +
                         "' is a file");
    }
  }
  return lab::read_problem(asked.problem);
}

std::vector<Estimator> constant_estimators(const std::string& specs) {
  auto estimators = parse_estimators(specs);
  for (const Estimator& e : estimators) {
    if (!e.is_constant()) {
      throw InvalidInput("fidelity: a temperature must be a number, not a schedule, got '" +
                         to_string(e) + "'");
    }
  }
  return estimators;
}

int run(FidelityCommand& asked, const CLI::App& command) {
  const auto estimators = constant_estimators(asked.methods);
  const lab::Problem problem = problem_of(asked, command);
  if (asked.threads > 0) at::set_num_threads(asked.threads);
  asked.options.key = {.seed = asked.draw_seed};
  std::vector<lab::Fidelity> results;
  for (const Estimator& e : estimators) {
    results.push_back(lab::measure(problem, e, asked.options));
  }
  std::cout << problem.name << ", " << problem.L()
            << (problem.L() == 1 ? " variable of " : " variables of ") << problem.K()
            << " categories\n\n"
            << fidelity_table(results);
  if (!asked.json.empty()) {
    train::write_atomically(asked.json, fidelity_json(problem, results).dump(1) + "\n");
  }
  return 0;
}

}  // namespace

void add_fidelity_command(CLI::App& program, int& exit_code) {
  auto* command = program.add_subcommand("fidelity", "Measures bias and variance of estimators");
  const auto asked = std::make_shared<FidelityCommand>();
  command->footer(kFooter);
  command->add_option("--problem", asked->problem, "A built-in problem, or a JSON file")
      ->required();
  command->add_option("--latent", asked->latent, "<variables>x<categories> of a built-in problem")
      ->capture_default_str();
  command->add_option("--seed", asked->size.seed, "Seed of a built-in problem")
      ->capture_default_str();
  command->add_option("--p", asked->size.p, "Power of polynomial")->capture_default_str();
  command->add_option("--c", asked->size.c, "Target of polynomial")->capture_default_str();
  command->add_option("--methods", asked->methods, "Estimators separated by ';'")
      ->capture_default_str();
  command->add_option("--samples", asked->options.draws, "Draws, where a mean is not enumerated")
      ->capture_default_str();
  command
      ->add_option("--draw-seed", asked->draw_seed, "Seed of the draws, the same for each method")
      ->capture_default_str();
  command->add_flag("--sampled", asked->options.sampled, "Also draw what could be enumerated");
  command->add_option("--json", asked->json, "File for every figure");
  command->add_option("--threads", asked->threads, "Threads; default: all cores")
      ->check(CLI::Range(1, 1024));
  command->callback([asked, command, &exit_code] { exit_code = run(*asked, *command); });
}

}  // namespace gradthru::cli
