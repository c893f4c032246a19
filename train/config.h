#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "gradthru/error.h"

namespace gradthru::train {

/// What a key can hold; its type is the type of the key's fallback.
using Value = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>,
                           std::vector<double>, std::vector<std::string>>;

/// What a value must satisfy; for a list, each of its elements.
struct Bounds {
  std::optional<double> min{};         ///< >= min
  std::optional<double> max{};         ///< <= max
  std::optional<double> above{};       ///< > above
  std::optional<double> below{};       ///< < below
  std::vector<std::string> choices{};  ///< texts only: one of these, if not empty
};

/// One declared key. `{.name = "optimiser.lr", .fallback = 1e-3, .about = "…", .bounds = {.above =
/// 0}}`
struct ConfigKey {
  std::string name;     ///< dotted: table and key; parts of letters, digits, '_' and '-'
  Value fallback;       ///< gives the type, too: 1.0 is a number, int64_t{1} an integer
  std::string about{};  ///< one line for --help
  Bounds bounds{};
};

struct Assignments;  // config_value.h

/// The configuration of one run: declared keys, and what presets, files and `--set` say about them.
/// Later sources win over earlier ones.
///
/// Errors: InvalidInput, one line, for a key that is not declared (with the nearest known one), a
/// value of the wrong type or out of bounds, NaN or infinity, and text that is not TOML. Declaring
/// keys badly or asking for one that was not declared is std::logic_error.
class Config {
 public:
  explicit Config(std::vector<ConfigKey> keys);

  /// Reads a preset or a `--config` file. `origin` is its name in messages. Nothing is changed if
  /// it throws. An integer is taken where a number is wanted, one value where a list is wanted.
  /// `[grid]` is kept apart; `[record]`, which to_toml() can write, is skipped.
  void merge_toml(std::string_view text, std::string_view origin);

  /// `--set`: "optimiser.lr=3e-4"; the value in TOML syntax, a string if it does not parse or if
  /// the key is a text. "grid.<key>=[…]" sets an axis of the grid; an empty list takes it away.
  void set(std::string_view assignment);

  /// "optimiser.lr=0.001": the key and its value, as set() takes it.
  std::string assignment(std::string_view name) const;

  bool boolean(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;  ///< of a number or an integer key
  const std::string& text(std::string_view name) const;
  const std::vector<int64_t>& integers(std::string_view name) const;
  const std::vector<double>& numbers(std::string_view name) const;
  const std::vector<std::string>& texts(std::string_view name) const;

  bool has(std::string_view name) const;           ///< is declared
  bool has_been_set(std::string_view name) const;  ///< by a file or --set, not by default
  const std::vector<ConfigKey>& keys() const { return keys_; }

  /// The axes of a sweep in the order they were written: key, and its values as assignments for
  /// set(). Setting a key afterwards takes its axis out: the user's word wins over the preset's
  /// grid, and the configuration of one grid point has no grid left.
  using Grid = std::vector<std::pair<std::string, std::vector<std::string>>>;
  const Grid& grid() const { return grid_; }

  /// Every key with its value, grouped by tables in the order of declaration, then the grid, then
  /// `record` (version, data hashes …) as table [record]. merge_toml() of it gives an equal Config.
  using Record = std::vector<std::pair<std::string, std::string>>;
  std::string to_toml(const Record& record = {}) const;

  /// SHA-256 of all keys and values but the excluded ones; the grid does not count.
  std::string sha256(const std::vector<std::string>& exclude = {}) const;

  /// Names of the keys whose values differ or that only one of the two has, without the excluded.
  std::vector<std::string> differing_keys(const Config& other,
                                          const std::vector<std::string>& exclude = {}) const;

  /// Equal values and grid; which of them are defaults does not matter.
  bool operator==(const Config& other) const;

 private:
  const Value& value(std::string_view name) const;
  template <typename T>
  const T& get(std::string_view name) const;
  void apply(Assignments assignments);

  std::vector<ConfigKey> keys_;
  std::map<std::string, Value, std::less<>> values_;
  std::set<std::string, std::less<>> set_;
  Grid grid_;
};

}  // namespace gradthru::train
