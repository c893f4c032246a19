// Spec strings, read and written.
#include <charconv>
#include <cmath>
#include <functional>
#include <set>

#include "api/registry.h"
#include "api/spec_text.h"
#include "gradthru/estimator.h"

namespace gradthru {
namespace {

void assign(Parameters& p, std::string_view key, std::string_view text, const Reader& read) {
  if (key == "tau") p.tau = read.temperature(text);
#define GRADTHRU_PARAMETER(field, kind) \
  if (key == #field) p.field = read.kind(text);
#define GRADTHRU_LIST_PARAMETER GRADTHRU_PARAMETER
#define GRADTHRU_SCORE_PARAMETER GRADTHRU_PARAMETER
#include "gradthru/estimators.def"
}

std::string value_text(const Temperature& tau) {
  return to_string(tau);
}
std::string value_text(bool value) {
  return value ? "true" : "false";
}
std::string value_text(int64_t value) {
  return std::to_string(value);
}
std::string value_text(double value) {
  return number_text(value);
}
std::string value_text(Noise noise) {
  return noise == Noise::scaled_sum ? "scaled_sum" : "scaled_logits";
}

std::string value_text(ExtraDraw draw) {
  return draw == ExtraDraw::conditional ? "conditional" : "free";
}
std::string value_text(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : ":") + number_text(value);
  return text;
}

/// The word that stands for the value of `key`, if there is one.
std::string word_for(std::string_view key, const Estimator& e) {
  if (key == "gap" && e.gap == kGapP) return "p";
  if (key == "baseline" && e.baseline == kMovingBaseline) return "moving";
  return "";
}

/// A key with its value, and how to say it.
struct Said {
  std::string key, text;
  std::function<void(Parameters&)> say;
};

std::vector<Said> sayable(const Estimator& e, const MethodEntry& entry) {
  std::vector<Said> all;
  if (entry.accepts("tau")) {
    const bool backward = entry.accepts("tau_b") || entry.has_own_tau();
    const Temperature tau = backward ? e.tau_b : e.tau_f;
    all.push_back({"tau", to_string(tau), [tau](Parameters& p) { p.tau = tau; }});
  }
#define GRADTHRU_PARAMETER(field, kind)                                     \
  if (entry.accepts(#field)) {                                              \
    const std::string word = word_for(#field, e);                           \
    all.push_back({#field, word.empty() ? value_text(e.field) : word,       \
                   [value = e.field](Parameters& p) { p.field = value; }}); \
  }
#define GRADTHRU_LIST_PARAMETER GRADTHRU_PARAMETER
#define GRADTHRU_SCORE_PARAMETER GRADTHRU_PARAMETER
#include "gradthru/estimators.def"
  return all;
}

}  // namespace

std::string number_text(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc() ? std::string(buffer, end) : std::to_string(value);
}

std::string to_string(const Temperature& tau) {
  if (tau.is_constant()) return number_text(tau.start);
  const char* names[] = {"", "exp", "linear", "cosine"};
  std::string text = names[static_cast<int>(tau.anneal)];
  text += "(" + number_text(tau.start) + "," + number_text(tau.end);
  if (tau.share != 1) {
    const double percent = std::round(tau.share * 100);
    text +=
        "," + (percent / 100 == tau.share ? number_text(percent) + "%" : number_text(tau.share));
  }
  return text + ")";
}

Estimator parse_estimator(std::string_view spec) {
  const std::string whole(trim(spec));
  split(whole, ',', whole);  // finds unbalanced parentheses and quotes
  const Call call(whole, whole);
  std::vector<std::string> names;
  for (const auto& entry : registry()) names.push_back(entry.name);
  const auto found = std::find(names.begin(), names.end(), call.name);
  if (found == names.end()) {
    std::string known;
    for (const auto& one : names) known += (known.empty() ? "" : ", ") + one;
    throw InvalidInput("unknown estimator '" + std::string(call.name) + "'" +
                       did_you_mean(call.name, names) + " (known: " + known + ")");
  }
  const MethodEntry& entry = registry()[found - names.begin()];
  Parameters parameters;
  std::set<std::string> seen;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    const std::string_view argument = trim(call.arguments[i]);
    const size_t equals = argument.find('=');
    std::string key(trim(argument.substr(0, equals)));
    if (equals == std::string_view::npos) {
      key = i == 0 ? std::string(entry.positional) : "";
      if (key.empty()) {
        throw InvalidInput(entry.name + ": wanted key=value, got '" + std::string(argument) +
                           "'; " + entry.known_keys());
      }
    }
    if (!entry.accepts(key)) {
      auto keys = entry.keys;
      keys.emplace_back("tau");
      throw InvalidInput(entry.name + ": unknown parameter '" + key + "'" +
                         did_you_mean(key, keys) + " (" + entry.known_keys() + ")");
    }
    if (!seen.insert(key).second) {
      throw InvalidInput(entry.name + ": parameter '" + key + "' is given twice");
    }
    const auto text =
        unquote(equals == std::string_view::npos ? argument : argument.substr(equals + 1));
    assign(parameters, key, text, Reader(entry.name, key));
  }
  return make_estimator(methods()[found - names.begin()], parameters);
}

std::vector<Estimator> parse_estimators(std::string_view specs) {
  std::vector<Estimator> estimators;
  for (const auto spec : split(specs, ';', std::string(specs))) {
    if (!trim(spec).empty()) estimators.push_back(parse_estimator(spec));
  }
  if (estimators.empty()) throw InvalidInput("wanted at least one estimator, got ''");
  return estimators;
}

std::string to_string(const Estimator& e) {
  const MethodEntry& entry = entry_of(e.method);
  const std::vector<Said> all = sayable(e, entry);
  std::string shortest;
  // A handful of keys: try every set of them and keep the shortest that builds the same value.
  for (size_t set = 0; set < size_t{1} << all.size(); ++set) {
    Parameters parameters;
    std::string first, rest;
    for (size_t i = 0; i < all.size(); ++i) {
      if (!(set >> i & 1)) continue;
      all[i].say(parameters);
      const bool positional = all[i].key == entry.positional;
      (positional ? first : rest) += (positional ? "" : "," + all[i].key + "=") + all[i].text;
    }
    std::string text = first.empty() && !rest.empty() ? rest.substr(1) : first + rest;
    text = text.empty() ? entry.name : entry.name + "(" + text + ")";
    if (!shortest.empty() && text.size() >= shortest.size()) continue;
    try {
      if (build_estimator(e.method, parameters) == e) shortest = text;
    } catch (const InvalidInput&) {
      // A set of keys that contradict each other: not a way to say this value.
    }
  }
  return shortest;
}

}  // namespace gradthru
