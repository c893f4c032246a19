#include "cli/fidelity_sweep.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string_view>

#include "gradthru/error.h"

namespace gradthru::cli {
namespace {

constexpr int64_t kMostSteps = 10000;

[[noreturn]] void fail(std::string_view axis) {
  throw InvalidInput(
      "--sweep must be <key>=<from>:<to>:<count> or <key>=<value>,<value>,..., "
      "several separated by ';', got '" +
      std::string(axis) + "'");
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc() && end == last ? std::optional(value) : std::nullopt;
}

/// A number as a person would write it: 0.3, not 0.30000000000000004.
std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

SweepAxis parse_axis(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) fail(text);
  SweepAxis axis{std::string(text.substr(0, equals)), {}};
  const std::string_view values = text.substr(equals + 1);
  const auto range = split(values, ':');
  if (range.size() == 1) {
    for (const std::string_view value : split(values, ',')) {
      if (value.empty()) fail(text);
      axis.values.emplace_back(value);
    }
    return axis;
  }
  if (range.size() != 3) fail(text);
  const auto from = number<double>(range[0]), to = number<double>(range[1]);
  const auto count = number<int64_t>(range[2]);
  if (!from || !to || !count || *count < 2 || *count > kMostSteps) fail(text);
  for (int64_t i = 0; i < *count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(*count - 1);
    axis.values.push_back(rounded(*from + (*to - *from) * share));
  }
  return axis;
}

/// The spec with one more key.
std::string with_key(const std::string& spec, const std::string& key, const std::string& value) {
  const std::string said = key + "=" + value;
  if (spec.back() != ')') return spec + "(" + said + ")";
  return spec.substr(0, spec.size() - 1) + "," + said + ")";
}

}  // namespace

std::vector<SweepAxis> parse_sweep(const std::string& text) {
  std::vector<SweepAxis> axes;
  for (const std::string_view axis : split(text, ';')) axes.push_back(parse_axis(axis));
  return axes;
}

std::vector<Estimator> swept(const Estimator& estimator, const std::vector<SweepAxis>& axes) {
  std::vector<std::string> specs = {to_string(estimator)};
  for (const SweepAxis& axis : axes) {
    std::vector<std::string> longer;
    for (const std::string& spec : specs) {
      for (const std::string& value : axis.values) {
        longer.push_back(with_key(spec, axis.key, value));
      }
    }
    specs = std::move(longer);
  }
  std::vector<Estimator> all;
  for (const std::string& spec : specs) all.push_back(parse_estimator(spec));
  return all;
}

}  // namespace gradthru::cli
