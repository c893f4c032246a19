#include <algorithm>
#include <cmath>
#include <type_traits>

#include "train/config_value.h"

namespace gradthru::train {
namespace {

bool keeps(const Bounds&, bool) {
  return true;
}

bool keeps(const Bounds& bounds, const std::string& text) {
  return bounds.choices.empty() ||
         std::find(bounds.choices.begin(), bounds.choices.end(), text) != bounds.choices.end();
}

// Written so that NaN keeps nothing.
bool keeps(const Bounds& bounds, double number) {
  return std::isfinite(number) && (!bounds.min || number >= *bounds.min) &&
         (!bounds.max || number <= *bounds.max) && (!bounds.above || number > *bounds.above) &&
         (!bounds.below || number < *bounds.below);
}

bool keeps(const Bounds& bounds, int64_t number) {
  return keeps(bounds, double(number));
}

template <typename T>
bool keeps(const Bounds& bounds, const std::vector<T>& values) {
  return std::all_of(values.begin(), values.end(),
                     [&](const T& value) { return keeps(bounds, value); });
}

std::string short_number(double number) {
  std::string text = value_to_toml(number);
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

std::string describe(const Bounds& bounds) {
  std::string text;
  const auto add = [&](const char* relation, const std::optional<double>& bound) {
    if (bound) text += (text.empty() ? " " : " and ") + (relation + short_number(*bound));
  };
  add(">= ", bounds.min);
  add("> ", bounds.above);
  add("<= ", bounds.max);
  add("< ", bounds.below);
  for (size_t i = 0; i < bounds.choices.size(); ++i) {
    text += (i == 0 ? " out of " : ", ") + bounds.choices[i];
  }
  return text;
}

std::string noun(const bool&) {
  return "true or false";
}
std::string noun(const int64_t&) {
  return "an integer";
}
std::string noun(const double&) {
  return "a number";
}
std::string noun(const std::string&) {
  return "a text";
}
std::string noun(const std::vector<int64_t>&) {
  return "a list of integers";
}
std::string noun(const std::vector<double>&) {
  return "a list of numbers";
}
std::string noun(const std::vector<std::string>&) {
  return "a list of texts";
}

}  // namespace

bool keeps_bounds(const ConfigKey& key, const Value& value) {
  return value.index() == key.fallback.index() &&
         std::visit([&](const auto& held) { return keeps(key.bounds, held); }, value);
}

std::string describe(const ConfigKey& key) {
  return std::visit([](const auto& held) { return noun(held); }, key.fallback) +
         describe(key.bounds);
}

}  // namespace gradthru::train
