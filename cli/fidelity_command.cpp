#include "cli/fidelity_command.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "cli/fidelity_plot.h"
#include "cli/fidelity_sweep.h"
#include "cli/fidelity_table.h"
#include "cli/network_fidelity.h"
#include "experiments/latent.h"
#include "experiments/methods.h"
#include "experiments/vae/probe.h"
#include "lab/builtin_problems.h"
#include "lab/fidelity.h"
#include "lab/problem_file.h"
#include "train/atomic_file.h"

namespace gradthru::cli {
namespace {

constexpr const char* kFooter =
    "Example:\n"
    "  gradthru fidelity --problem quadratic --latent 4x3 --methods \"st;reinmax;gst;rloo(4)\"\n"
    "Problems: linear, quadratic, cubic, parity, polynomial (with --p and --c) and mlp, made from "
    "--seed,\nor a file of the format gradthru-problem (docs/fidelity.md). The exact gradient is "
    "that of the law\nwhich the method samples, at another temperature if --target-tau says so.";

constexpr const char* kMethods =
    "exact;st;zgr;reinmax(1.3);gst;gumbel_softmax;gumbel_rao;reinforce;rloo";

struct FidelityCommand {
  std::string problem, run, network, latent = "4x3", methods = kMethods, sweep, json, plot;
  lab::ProblemSize size;
  lab::FidelityOptions options;
  uint64_t draw_seed = 0;
  int64_t images = 20;
  int threads = 0;
};

bool is_builtin(const std::string& name) {
  const auto& names = lab::builtin_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

lab::Problem problem_of(FidelityCommand& asked, const CLI::App& command) {
  const bool run = command.count("--run") > 0;
  if (run == (command.count("--problem") > 0)) {
    throw InvalidInput("fidelity: give --problem, --run or --network, one of them");
  }
  const bool file = !run && !is_builtin(asked.problem) && std::filesystem::exists(asked.problem);
  if (!run && !file) {
    std::tie(asked.size.K, asked.size.L) = experiments::parse_latent(asked.latent);
    return lab::builtin_problem(asked.problem, asked.size);
  }
  for (const char* option : {"--latent", "--seed", "--p", "--c"}) {
    if (command.count(option) > 0) {
      throw InvalidInput(std::string(option) + " is for the built-in problems, got it with " +
                         (run ? "the run " + asked.run : "the file " + asked.problem));
    }
  }
  return run ? experiments::vae_probe(asked.run, asked.images) : lab::read_problem(asked.problem);
}

/// Options of problems with categorical variables are refused.
int run_network(const FidelityCommand& asked, const CLI::App& command) {
  static const std::set<std::string> kKnown = {"--network", "--methods",   "--samples",
                                               "--sampled", "--draw-seed", "--seed",
                                               "--json",    "--plot",      "--threads"};
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() > 0 && !kKnown.contains(option->get_name())) {
      throw InvalidInput(option->get_name() + " does not go with --network");
    }
  }
  const bool seed = command.count("--seed") > 0;
  if (seed && command.count("--draw-seed") > 0) {
    throw InvalidInput("--seed and --draw-seed are the same with --network, give one of them");
  }
  if (asked.threads > 0) at::set_num_threads(asked.threads);
  NetworkRequest request;
  request.network = asked.network;
  request.methods = command.count("--methods") > 0 ? asked.methods : kNetworkMethods;
  request.options = {.samples = asked.options.draws,
                     .sampled = asked.options.sampled,
                     .cosines = command.count("--samples") > 0 || !asked.plot.empty(),
                     .key = {.seed = seed ? asked.size.seed : asked.draw_seed}};
  request.json = asked.json;
  request.plot = asked.plot;
  return network_fidelity(request);
}

int run(FidelityCommand& asked, const CLI::App& command) {
  if (command.count("--network") > 0) return run_network(asked, command);
  std::vector<SweepAxis> axes;
  if (!asked.sweep.empty()) axes = parse_sweep(asked.sweep);
  if (!asked.plot.empty()) check_plot(axes);
  // The methods, each at every point of the sweep.
  std::vector<std::string> methods;
  std::vector<Estimator> estimators;
  for (const Estimator& e : experiments::parse_constant_estimators("fidelity", asked.methods)) {
    methods.push_back(to_string(e));
    for (const Estimator& one : swept(e, axes)) estimators.push_back(one);
  }
  const lab::Problem problem = problem_of(asked, command);
  if (asked.threads > 0) at::set_num_threads(asked.threads);
  asked.options.key = {.seed = asked.draw_seed};
  const auto results = lab::measure(problem, estimators, asked.options);
  std::cout << problem_line(problem) << "\n\n" << fidelity_table(results);
  if (!asked.json.empty()) {
    train::write_atomically(asked.json, fidelity_json(problem, results).dump(1) + "\n");
  }
  if (!asked.plot.empty()) {
    const auto page = fidelity_page({problem, methods, axes, results});
    train::write_atomically(asked.plot, report::html(page));
  }
  return 0;
}

}  // namespace

void add_fidelity_command(CLI::App& program, int& exit_code) {
  auto* command = program.add_subcommand("fidelity", "Measures bias and variance of estimators");
  const auto asked = std::make_shared<FidelityCommand>();
  command->footer(kFooter);
  command->add_option("--problem", asked->problem, "A built-in problem, or a JSON file");
  command->add_option("--run", asked->run,
                      "Folder of a run of vae: the loss of its decoder at the last checkpoint");
  command->add_option(
      "--network", asked->network,
      "A stochastic binary network with data, a JSON file; without --methods: psa, st, hard_st, "
      "zgr, darn, reinforce");
  command->add_option("--images", asked->images, "Training images of the run")
      ->capture_default_str();
  command->add_option("--latent", asked->latent, "<categories>x<variables> of a built-in problem")
      ->capture_default_str();
  command
      ->add_option("--seed", asked->size.seed,
                   "Seed of a built-in problem; of the draws with --network")
      ->capture_default_str();
  command->add_option("--p", asked->size.p, "Power of polynomial")->capture_default_str();
  command->add_option("--c", asked->size.c, "Target of polynomial")->capture_default_str();
  command->add_option("--methods", asked->methods, "Estimators separated by ';'")
      ->capture_default_str();
  command->add_option(
      "--sweep", asked->sweep,
      "Keys and their values for every method: tau=0.1:2:20, or tau_f=...;tau_b=...");
  command
      ->add_option("--samples", asked->options.draws,
                   "Draws, where a mean is not enumerated; asked for with --network, also "
                   "for the cosines of what is")
      ->capture_default_str();
  command
      ->add_option("--draw-seed", asked->draw_seed, "Seed of the draws, the same for each method")
      ->capture_default_str();
  command
      ->add_option("--target-tau", asked->options.target_tau,
                   "Temperature of the law of the exact gradient; not given: the method's tau_f")
      ->check(CLI::PositiveNumber);
  command->add_flag("--sampled", asked->options.sampled, "Also draw what could be enumerated");
  command->add_flag("--gradient-gap", asked->options.gradient_gap,
                    "Also the gap between the gradients at the hard and at the relaxed sample");
  command->add_option("--json", asked->json, "File for every figure");
  command->add_option("--plot", asked->plot, "Page (HTML) with charts of the figures");
  command->add_option("--threads", asked->threads, "Threads; default: all cores")
      ->check(CLI::Range(1, 1024));
  command->callback([asked, command, &exit_code] { exit_code = run(*asked, *command); });
}

}  // namespace gradthru::cli
