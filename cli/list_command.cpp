#include "cli/list_command.h"

#include <algorithm>
#include <iostream>
#include <string>

#include "data/catalogue.h"
#include "experiments/experiment.h"
#include "gradthru/estimator.h"

namespace gradthru::cli {
namespace {

std::string padded(const std::string& text, size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

std::string joined(const std::vector<std::string>& words, const std::string& between) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

void list_estimators() {
  for (const Method method : methods()) {
    const About facts = about(method);
    const auto& keys = facts.parameters;
    const bool own_tau = std::find(keys.begin(), keys.end(), "tau") != keys.end();
    std::cout << padded(std::string(name(method)), 17) << facts.summary << "\n";
    if (!keys.empty()) {
      std::cout << padded("", 17) << "parameters: " << joined(keys, ", ")
                << (own_tau ? "" : ", tau");
      if (!facts.positional.empty()) std::cout << "; first value: " << facts.positional;
      std::cout << "\n";
    }
    std::cout << padded("", 17) << facts.source << "\n";
  }
  std::cout << "\nspec strings: reinmax(1.3)   st(tau_f=0.5,tau_b=1)   gst(p,tau=0.7)   "
               "gumbel_softmax(tau=exp(1,0.3,50%))\n";
}

void list_experiments() {
  for (const auto& experiment : experiments::all()) {
    std::cout << padded(experiment.name, 17) << experiment.summary << "\n"
              << padded("", 17)
              << "presets: " << joined(experiments::preset_names(experiment), ", ") << "\n";
    for (const auto& key : experiment.keys) {
      std::cout << padded("", 17) << "--set " << padded(key.name, 24) << key.about << "\n";
    }
  }
}

void list_data() {
  for (const auto& set : data::catalogue()) {
    std::cout << padded(set.name, 17) << set.licence << "\n";
  }
  std::cout << "\nwhere they are found: gradthru data list\n";
}

}  // namespace

void add_list_command(CLI::App& program) {
  auto* list = program.add_subcommand("list", "Lists estimators, experiments or data sets");
  list->footer("Example: gradthru list estimators");
  list->require_subcommand(1);
  const auto add = [list](const char* what, const char* about, void (*print)()) {
    auto* command = list->add_subcommand(what, about);
    command->footer(std::string("Example: gradthru list ") + what);
    command->callback(print);
  };
  add("estimators", "Every estimator with its parameters and source", list_estimators);
  add("experiments", "Every experiment with its presets and keys", list_experiments);
  add("data", "Every data set", list_data);
}

}  // namespace gradthru::cli
