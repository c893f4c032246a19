#include "train/config.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "train/config_value.h"
#include "train/sha256.h"

namespace gradthru::train {
namespace {

[[noreturn]] void bad_key(const std::string& name, const std::string& why) {
  throw std::logic_error("Config: key '" + name + "' " + why);
}

bool is_key_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.front() != '.' && name.back() != '.' &&
         name.find("..") == std::string_view::npos &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Config::Config(std::vector<ConfigKey> keys) : keys_(std::move(keys)) {
  for (const ConfigKey& key : keys_) {
    const std::string table = key.name.substr(0, key.name.find('.'));
    if (!is_key_name(key.name) || table == "grid" || table == "record") {
      bad_key(key.name, "has no name that can be declared");
    }
    if (!keeps_bounds(key, key.fallback)) {
      bad_key(key.name, "has a default that is not " + describe(key));
    }
    if (!values_.emplace(key.name, key.fallback).second) bad_key(key.name, "is declared twice");
  }
  for (const auto& [name, fallback] : values_) {
    const auto next = values_.lower_bound(name + ".");
    if (next != values_.end() && next->first.starts_with(name + ".")) {
      bad_key(name, "is a table, too, because of " + next->first);
    }
  }
}

void Config::apply(Assignments assignments) {
  const auto axis_of = [this](const std::string& name) {
    return std::find_if(grid_.begin(), grid_.end(),
                        [&](const auto& axis) { return axis.first == name; });
  };
  for (auto& [name, value] : assignments.values) {
    if (const auto axis = axis_of(name); axis != grid_.end()) grid_.erase(axis);
    values_[name] = std::move(value);
    set_.insert(name);
  }
  for (auto& [name, points] : assignments.grid) {
    const auto axis = axis_of(name);
    if (points.empty()) {
      if (axis != grid_.end()) grid_.erase(axis);
    } else if (axis != grid_.end()) {
      axis->second = std::move(points);
    } else {
      grid_.emplace_back(name, std::move(points));
    }
  }
}

void Config::merge_toml(std::string_view text, std::string_view origin) {
  apply(read_toml(keys_, text, origin));
}

void Config::set(std::string_view assignment) {
  apply(read_assignment(keys_, assignment));
}

std::string Config::assignment(std::string_view name) const {
  return std::string(name) + "=" + value_to_toml(value(name));
}

const Value& Config::value(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) bad_key(std::string(name), "is not declared");
  return found->second;
}

template <typename T>
const T& Config::get(std::string_view name) const {
  const T* held = std::get_if<T>(&value(name));
  if (!held) bad_key(std::string(name), "is asked for as another type than declared");
  return *held;
}

bool Config::boolean(std::string_view name) const {
  return get<bool>(name);
}
int64_t Config::integer(std::string_view name) const {
  return get<int64_t>(name);
}
const std::string& Config::text(std::string_view name) const {
  return get<std::string>(name);
}

double Config::number(std::string_view name) const {
  if (const int64_t* integer = std::get_if<int64_t>(&value(name))) return double(*integer);
  return get<double>(name);
}

const std::vector<int64_t>& Config::integers(std::string_view name) const {
  return get<std::vector<int64_t>>(name);
}

const std::vector<double>& Config::numbers(std::string_view name) const {
  return get<std::vector<double>>(name);
}

const std::vector<std::string>& Config::texts(std::string_view name) const {
  return get<std::vector<std::string>>(name);
}

bool Config::has(std::string_view name) const {
  return values_.find(name) != values_.end();
}

bool Config::has_been_set(std::string_view name) const {
  value(name);  // a slip in the name must not read as "no"
  return set_.find(name) != set_.end();
}

std::string Config::sha256(const std::vector<std::string>& exclude) const {
  std::string text;  // sorted by name: moving a declaration does not change what is configured
  for (const auto& [name, held] : values_) {
    if (!contains(exclude, name)) text += name + " = " + value_to_toml(held) + "\n";
  }
  return sha256_hex(text);
}

std::vector<std::string> Config::differing_keys(const Config& other,
                                                const std::vector<std::string>& exclude) const {
  std::vector<std::string> names;
  for (const ConfigKey& key : keys_) {
    const bool same = other.has(key.name) && other.value(key.name) == value(key.name);
    if (!same && !contains(exclude, key.name)) names.push_back(key.name);
  }
  for (const ConfigKey& key : other.keys_) {
    if (!has(key.name) && !contains(exclude, key.name)) names.push_back(key.name);
  }
  return names;
}

bool Config::operator==(const Config& other) const {
  return values_ == other.values_ && grid_ == other.grid_;
}

}  // namespace gradthru::train
