#pragma once

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "gradthru/estimator.h"

namespace gradthru {

/// A line of the registry, read.
struct MethodEntry {
  std::string name;
  std::string_view draw;
  std::vector<std::string> keys;
  bool zero_tau_f = false;
  UniformMix uniform_mix = UniformMix::refused;
  int64_t default_samples = 1;
  std::string_view positional, summary, source;
  Family family = Family::pathwise;
  bool binary_only = false;

  MethodEntry(std::string name, std::string_view draw, std::string_view parameters,
              std::string_view positional, std::string_view summary, std::string_view source)
      : name(std::move(name)),
        draw(draw),
        positional(positional),
        summary(summary),
        source(source) {
    while (!parameters.empty()) {
      const size_t end = std::min(parameters.find(' '), parameters.size());
      add_key(parameters.substr(0, end));
      parameters.remove_prefix(std::min(end + 1, parameters.size()));
    }
  }

  /// `tau` stands for the temperatures wherever there is one.
  bool accepts(std::string_view key) const {
    return lists(key) || (key == "tau" && lists("tau_f"));
  }

  /// Whether `tau` is not another word for other keys but a temperature of the method's own.
  bool has_own_tau() const { return lists("tau"); }

  /// "known: tau_f, tau_b, tau".
  std::string known_keys() const {
    if (keys.empty()) return "it takes no parameters";
    std::string text = "known:";
    for (const auto& key : keys) text += " " + key + ",";
    if (!has_own_tau()) return text + " tau";
    text.pop_back();
    return text;
  }

 private:
  bool lists(std::string_view key) const {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  }

  void add_key(std::string_view word) {
    const size_t end = std::min(word.find_first_of(">="), word.size());
    const std::string_view key = word.substr(0, end);
    if (key == "mix") {
      uniform_mix = end < word.size() ? UniformMix::tied : UniformMix::taken;
      return;
    }
    keys.emplace_back(key);
    if (key == "tau_f" && end < word.size()) zero_tau_f = true;
    if (key == "samples" && end < word.size()) {
      std::from_chars(word.data() + end + 1, word.data() + word.size(), default_samples);
    }
  }
};

const std::vector<MethodEntry>& registry();

inline const MethodEntry& entry_of(Method method) {
  return registry()[static_cast<size_t>(method)];
}

/// make_estimator without its warnings.
Estimator build_estimator(Method method, const Parameters& parameters);

/// The shortest decimal text that reads back as the same double.
std::string number_text(double value);

}  // namespace gradthru
