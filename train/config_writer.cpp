#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "train/config_value.h"

namespace gradthru::train {
namespace {

std::string to_toml(bool value) {
  return value ? "true" : "false";
}
std::string to_toml(int64_t value) {
  return std::to_string(value);
}
std::string to_toml(const std::string& value) {
  return text_to_toml(value);
}

std::string to_toml(double value) {
  char text[32];
  std::string number(text, std::to_chars(text, text + sizeof text, value).ptr);
  // Without a point or an exponent it would read back as an integer.
  if (number.find_first_of(".e") == std::string::npos) number += ".0";
  return number;
}

template <typename T>
std::string to_toml(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() > 1 ? ", " : "") + to_toml(value);
  return text + "]";
}

std::string table_of(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

}  // namespace

bool is_utf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

// JSON and TOML escape alike, except that TOML wants DEL escaped, too.
std::string text_to_toml(const std::string& text) {
  std::string escaped;
  for (const char c : nlohmann::json(text).dump()) {
    if (c == '\x7f') {
      escaped += "\\u007f";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string value_to_toml(const Value& value) {
  return std::visit([](const auto& held) { return to_toml(held); }, value);
}

std::string Config::to_toml(const Record& record) const {
  std::vector<std::string> tables{""};  // keys without a table must come first
  for (const ConfigKey& key : keys_) {
    const std::string table = table_of(key.name);
    if (std::find(tables.begin(), tables.end(), table) == tables.end()) tables.push_back(table);
  }
  std::string text;
  for (const std::string& table : tables) {
    if (!table.empty()) text += "\n[" + table + "]\n";
    for (const ConfigKey& key : keys_) {
      if (table_of(key.name) != table) continue;
      const std::string name = table.empty() ? key.name : key.name.substr(table.size() + 1);
      text += name + " = " + value_to_toml(value(key.name)) + "\n";
    }
  }
  if (!grid_.empty()) text += "\n[grid]\n";
  for (const auto& [name, points] : grid_) {
    text += name + " = [";
    for (size_t i = 0; i < points.size(); ++i) {
      text += (i > 0 ? ", " : "") + points[i].substr(name.size() + 1);
    }
    text += "]\n";
  }
  if (!record.empty()) text += "\n[record]\n";
  for (const auto& [name, held] : record)
    text += text_to_toml(name) + " = " + text_to_toml(held) + "\n";
  return text;
}

}  // namespace gradthru::train
