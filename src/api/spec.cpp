// Spec strings: `name(key=value,…)`, read and written.
#include <charconv>
#include <cmath>
#include <functional>
#include <set>

#include "api/registry.h"
#include "gradthru/estimator.h"

namespace gradthru {
namespace {

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view unquote(std::string_view text) {
  text = trim(text);
  const bool quoted = text.size() >= 2 && text.front() == text.back() &&
                      (text.front() == '"' || text.front() == '\'');
  return quoted ? trim(text.substr(1, text.size() - 2)) : text;
}

/// Splits at separators outside parentheses and quotes.
std::vector<std::string_view> split(std::string_view text, char separator,
                                    const std::string& whole) {
  std::vector<std::string_view> parts;
  int depth = 0;
  char quote = 0;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      if (--depth < 0) throw InvalidInput("'" + whole + "': ')' without '('");
    } else if (c == separator && depth == 0) {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  if (depth > 0) throw InvalidInput("'" + whole + "': missing ')'");
  if (quote) throw InvalidInput("'" + whole + "': missing closing quote");
  parts.push_back(text.substr(start));
  return parts;
}

/// `name(arguments)` taken apart; no parentheses give no arguments.
struct Call {
  std::string_view name;
  std::vector<std::string_view> arguments;

  Call(std::string_view text, const std::string& whole) {
    const size_t open = text.find('(');
    name = trim(text.substr(0, open));
    if (open == std::string_view::npos) return;
    if (text.back() != ')') throw InvalidInput("'" + whole + "': wanted ')' at the end");
    const auto inside = trim(text.substr(open + 1, text.size() - open - 2));
    if (!inside.empty()) arguments = split(inside, ',', whole);
  }
};

/// Reads the values of one spec; the messages name the estimator and the key.
class Reader {
 public:
  Reader(std::string_view estimator, std::string_view key)
      : where_(std::string(estimator) + ": " + std::string(key)) {}

  double number(std::string_view text) const {
    text = trim(text);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
      fail("a number", text);
    }
    return value;
  }

  int64_t integer(std::string_view text) const {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return value;
    const double real = number(text);
    if (real != std::floor(real) || std::abs(real) >= 0x1p53) fail("an integer", text);
    return static_cast<int64_t>(real);
  }

  bool boolean(std::string_view text) const {
    if (text != "true" && text != "false") fail("true or false", text);
    return text == "true";
  }

  Noise noise(std::string_view text) const {
    if (text == "scaled_sum") return Noise::scaled_sum;
    if (text != "scaled_logits") fail("scaled_sum or scaled_logits", text);
    return Noise::scaled_logits;
  }

  double gap(std::string_view text) const {
    if (text == "p") return kGapP;
    const double value = number(text);
    // The number that stands for 'p' must not be written as a number.
    if (value == kGapP) throw InvalidInput(where_ + " must be >= 0, or 'p', got -1");
    return value;
  }

  Temperature temperature(std::string_view text) const {
    if (text.find('(') == std::string_view::npos) return Temperature(number(text));
    const Call call(text, std::string(text));
    Temperature tau;
    if (call.name == "exp") {
      tau.anneal = Anneal::exponential;
    } else if (call.name == "linear") {
      tau.anneal = Anneal::linear;
    } else if (call.name == "cosine") {
      tau.anneal = Anneal::cosine;
    } else {
      fail("a number or a schedule exp, linear, cosine", text);
    }
    const auto& values = call.arguments;
    if (values.size() != 2 && values.size() != 3) fail("a schedule (start, end, share)", text);
    tau.start = number(values[0]);
    tau.end = number(values[1]);
    if (values.size() == 3) tau.share = share(values[2]);
    return tau;
  }

 private:
  double share(std::string_view text) const {
    text = trim(text);
    if (text.empty() || text.back() != '%') return number(text);
    return number(text.substr(0, text.size() - 1)) / 100;
  }

  [[noreturn]] void fail(std::string_view wanted, std::string_view got) const {
    throw InvalidInput(where_ + " must be " + std::string(wanted) + ", got '" + std::string(got) +
                       "'");
  }

  std::string where_;
};

void assign(Parameters& p, std::string_view key, std::string_view text, const Reader& read) {
  if (key == "tau") p.tau = read.temperature(text);
#define GRADTHRU_PARAMETER(field, kind) \
  if (key == #field) p.field = read.kind(text);
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

/// A key with its value, and how to say it.
struct Said {
  std::string key, text;
  std::function<void(Parameters&)> say;
};

std::vector<Said> sayable(const Estimator& e, const MethodEntry& entry) {
  std::vector<Said> all;
  if (entry.accepts("tau")) {
    const Temperature tau = entry.accepts("tau_b") ? e.tau_b : e.tau_f;
    all.push_back({"tau", to_string(tau), [tau](Parameters& p) { p.tau = tau; }});
  }
#define GRADTHRU_PARAMETER(field, kind)                                      \
  if (entry.accepts(#field)) {                                               \
    const bool from_p = std::string_view(#field) == "gap" && e.gap == kGapP; \
    all.push_back({#field, from_p ? "p" : value_text(e.field),               \
                   [value = e.field](Parameters& p) { p.field = value; }});  \
  }
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
