#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/config.h"

// How a configuration's values are read and written; used by config.cpp alone.
namespace gradthru::train {

/// What a piece of TOML says, already checked against the declared keys.
struct Assignments {
  std::vector<std::pair<std::string, Value>> values;
  Config::Grid grid;
};

Assignments read_toml(const std::vector<ConfigKey>& keys, std::string_view text,
                      std::string_view origin);
Assignments read_assignment(const std::vector<ConfigKey>& keys, std::string_view assignment);

/// Whether the value has the type of the key's fallback and keeps its bounds.
bool keeps_bounds(const ConfigKey& key, const Value& value);

/// "a number > 0", "one of adam, radam", "a list of integers >= 1"
std::string describe(const ConfigKey& key);

/// In TOML, on one line; numbers read back as the same double.
std::string value_to_toml(const Value& value);
std::string text_to_toml(const std::string& text);

bool is_utf8(const std::string& text);

}  // namespace gradthru::train
