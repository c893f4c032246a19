#pragma once

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "gradthru/estimator.h"

// The text of a spec string: `name(key=value,…)` taken apart, and its values read.
namespace gradthru {

inline std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

inline std::string_view unquote(std::string_view text) {
  text = trim(text);
  const bool quoted = text.size() >= 2 && text.front() == text.back() &&
                      (text.front() == '"' || text.front() == '\'');
  return quoted ? trim(text.substr(1, text.size() - 2)) : text;
}

/// Splits at separators outside parentheses and quotes.
inline std::vector<std::string_view> split(std::string_view text, char separator,
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

  ExtraDraw draw(std::string_view text) const {
    if (text == "conditional") return ExtraDraw::conditional;
    if (text != "free") fail("conditional or free", text);
    return ExtraDraw::free;
  }

  std::vector<double> list(std::string_view text) const {
    std::vector<double> values;
    for (const auto part : split(text, ':', std::string(text))) values.push_back(number(part));
    return values;
  }

  double gap(std::string_view text) const {
    if (text == "p") return kGapP;
    const double value = number(text);
    // The number that stands for 'p' must not be written as a number.
    if (value == kGapP) throw InvalidInput(where_ + " must be >= 0, or 'p', got -1");
    return value;
  }

  double baseline(std::string_view text) const {
    if (text == "none") return 0;
    if (text == "moving") return kMovingBaseline;
    const double value = number(text);
    if (!std::isfinite(value)) fail("none, moving or a finite number", text);
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

}  // namespace gradthru
