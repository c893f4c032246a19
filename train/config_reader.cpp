#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include "train/config_value.h"

namespace gradthru::train {
namespace {

// Where a piece of TOML stands, for messages: "smoke.toml, line 3" or "--set lr=x".
struct Place {
  std::string origin;
  bool has_lines = true;

  std::string at(const toml::node& node) const {
    if (!has_lines) return origin;
    return origin + ", line " + std::to_string(node.source().begin.line);
  }
};

std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text.size() > 80 ? text.substr(0, 77) + "..." : text;
}

std::string printed(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& held) { text << held; });
  return one_line(text.str());
}

[[noreturn]] void refuse(const ConfigKey& key, const toml::node& node, const Place& place) {
  throw InvalidInput(place.at(node) + ": " + key.name + " wants " + describe(key) + ", got " +
                     printed(node));
}

[[noreturn]] void unknown_key(const std::vector<ConfigKey>& keys, const std::string& name,
                              const std::string& where) {
  std::vector<std::string> names;
  for (const ConfigKey& key : keys) names.push_back(key.name);
  std::string hint = did_you_mean(name, names);
  // A key in the wrong table, or without one.
  const std::string last = "." + name.substr(name.rfind('.') + 1);
  for (size_t i = 0; hint.empty() && i < names.size(); ++i) {
    if (("." + names[i]).ends_with(last)) hint = "; did you mean '" + names[i] + "'?";
  }
  if (hint.empty()) {
    for (const auto& known : names) hint += (hint.empty() ? "; known keys: " : ", ") + known;
  }
  throw InvalidInput(where + ": unknown key '" + one_line(name) + "'" + hint);
}

const ConfigKey* find_key(const std::vector<ConfigKey>& keys, const std::string& name) {
  for (const ConfigKey& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

// The scalar of the wanted type, if the node is one; an integer is a number, too.
template <typename T>
std::optional<T> scalar(const toml::node& node) {
  const auto exact = node.value_exact<T>();
  if constexpr (std::is_same_v<T, double>) {
    if (exact) return *exact + 0.0;  // -0.0 would be equal to 0.0 but print and hash differently
    if (const auto integer = node.value_exact<int64_t>()) return static_cast<double>(*integer);
  }
  return exact;
}

template <typename T>
std::optional<Value> converted(const toml::node& node, const T&) {
  const auto value = scalar<T>(node);
  return value ? std::optional<Value>(*value) : std::nullopt;
}

template <typename T>
std::optional<Value> converted(const toml::node& node, const std::vector<T>&) {
  std::vector<T> values;
  if (const auto single = scalar<T>(node)) return Value(std::vector<T>{*single});
  if (!node.is_array()) return std::nullopt;
  for (const toml::node& element : *node.as_array()) {
    const auto value = scalar<T>(element);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return Value(std::move(values));
}

Value read_value(const ConfigKey& key, const toml::node& node, const Place& place) {
  const auto value =
      std::visit([&](const auto& fallback) { return converted(node, fallback); }, key.fallback);
  if (!value || !keeps_bounds(key, *value)) refuse(key, node, place);
  return *value;
}

// An axis of the grid, with its place in the text: the parser's tables forget the order.
struct Axis {
  std::string name;
  std::vector<std::string> points;
  toml::source_position position;
};

class Reader {
 public:
  Reader(const std::vector<ConfigKey>& keys, Place place) : keys_(keys), place_(std::move(place)) {}

  Assignments read(const toml::table& document) {
    for (const auto& [part, node] : document) {
      const std::string name(part.str());
      if (name == "record") continue;
      if (name == "grid" && node.is_table()) {
        for (const auto& [key, axis] : *node.as_table()) read_axis(std::string(key.str()), axis);
      } else {
        read_node(name, node);
      }
    }
    std::sort(axes_.begin(), axes_.end(),
              [](const Axis& a, const Axis& b) { return a.position < b.position; });
    for (Axis& axis : axes_) result_.grid.emplace_back(axis.name, std::move(axis.points));
    return std::move(result_);
  }

 private:
  void read_node(const std::string& name, const toml::node& node) {
    if (const ConfigKey* key = find_key(keys_, name)) {
      result_.values.emplace_back(name, read_value(*key, node, place_));
    } else if (node.is_table() && (!node.as_table()->empty() || is_table_of_keys(name))) {
      for (const auto& [part, child] : *node.as_table()) {
        read_node(name + "." + std::string(part.str()), child);
      }
    } else {
      unknown_key(keys_, name, place_.at(node));
    }
  }

  void read_axis(const std::string& name, const toml::node& node) {
    const ConfigKey* key = find_key(keys_, name);
    if (!key && node.is_table()) {
      for (const auto& [part, child] : *node.as_table()) {
        read_axis(name + "." + std::string(part.str()), child);
      }
      return;
    }
    if (!key) unknown_key(keys_, name, place_.at(node) + ", grid");
    if (!node.is_array()) {
      throw InvalidInput(place_.at(node) + ": grid: " + name + " wants a list of values, got " +
                         printed(node));
    }
    Axis axis{name, {}, node.source().begin};
    for (const toml::node& point : *node.as_array()) {
      axis.points.push_back(name + "=" + value_to_toml(read_value(*key, point, place_)));
    }
    axes_.push_back(std::move(axis));
  }

  // An empty table of known keys says nothing; any other is unknown, or its keys will tell.
  bool is_table_of_keys(const std::string& name) const {
    return std::any_of(keys_.begin(), keys_.end(),
                       [&](const ConfigKey& key) { return key.name.starts_with(name + "."); });
  }

  const std::vector<ConfigKey>& keys_;
  Place place_;
  std::vector<Axis> axes_;
  Assignments result_;
};

bool is_text(const ConfigKey& key) {
  return std::holds_alternative<std::string>(key.fallback) ||
         std::holds_alternative<std::vector<std::string>>(key.fallback);
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// The document `name = value`, with the value as a string where it is not TOML of its own.
toml::table parse_assignment(const ConfigKey* key, std::string_view value) {
  try {
    toml::table document = toml::parse("value = " + std::string(value));
    const toml::node* node = document.get("value");
    // More than one entry: a line break smuggled in a second assignment, so it is but a string. A
    // text such as 1 or true needs no quotes either.
    const bool is_string = document.size() != 1 || (key && is_text(*key) && node->is_value());
    if (!is_string || node->is_string()) return document;
  } catch (const toml::parse_error&) {
  }
  return toml::table{{"value", std::string(value)}};
}

// {"a.b": node} as the table {a: {b: node}} that a file would have given.
toml::table nested(const std::string& name, const toml::node& node) {
  const size_t dot = name.find('.');
  toml::table table;
  if (dot == std::string::npos) {
    table.insert(name, node);
  } else {
    table.insert(name.substr(0, dot), nested(name.substr(dot + 1), node));
  }
  return table;
}

}  // namespace

Assignments read_toml(const std::vector<ConfigKey>& keys, std::string_view text,
                      std::string_view origin) {
  Place place{std::string(origin)};
  try {
    return Reader(keys, place).read(toml::parse(text));
  } catch (const toml::parse_error& error) {
    throw InvalidInput(place.origin + ", line " + std::to_string(error.source().begin.line) + ": " +
                       one_line(std::string(error.description())));
  }
}

Assignments read_assignment(const std::vector<ConfigKey>& keys, std::string_view assignment) {
  const Place place{"--set " + one_line(std::string(assignment)), /*has_lines=*/false};
  const size_t equals = assignment.find('=');
  const std::string name(trimmed(assignment.substr(0, equals)));
  if (equals == std::string_view::npos || name.empty()) {
    throw InvalidInput(place.origin + ": wants key=value");
  }
  if (!is_utf8(std::string(assignment))) throw InvalidInput(place.origin + ": is not UTF-8");
  const ConfigKey* key = find_key(keys, name.starts_with("grid.") ? name.substr(5) : name);
  const toml::table document = parse_assignment(key, trimmed(assignment.substr(equals + 1)));
  return Reader(keys, place).read(nested(name, *document.get("value")));
}

}  // namespace gradthru::train
