#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gradthru/error.h"

namespace gradthru::train {

enum class Kind { train, eval, probe, event };
enum class Split { train, valid, test, none };

std::string_view to_string(Split split);

/// A named value. Names are lower snake case, with a unit suffix where not nats (`_ms`, `_pct`).
struct Metric {
  std::string name;
  std::variant<double, std::vector<double>> value;
};

/// One line of metrics.jsonl, schema 1.
struct MetricLine {
  Kind kind = Kind::train;
  int64_t step = 0;  ///< updates done
  double epoch = 0;
  double wall_s = 0;  ///< of training, over all resumptions
  Split split = Split::none;
  int64_t n = 0;  ///< examples averaged
  std::vector<Metric> values{};
  std::vector<Metric> sd{};  ///< written as `std`, for the same names; may be empty
  std::string note{};        ///< may be empty
};

/// The line as JSON without line break, keys in the order of the schema; a non-finite number
/// becomes null and its name is listed in `nonfinite`. Numbers read back as the same double.
/// Errors: std::logic_error for a name that is not lower snake case or comes twice.
std::string to_json(const MetricLine& line);

/// Appends lines to metrics.jsonl, each handed to the system whole before write() returns.
/// Errors: std::system_error with the path (disc full …); earlier lines stay readable.
class MetricsWriter {
 public:
  explicit MetricsWriter(std::filesystem::path path);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  void write(const MetricLine& line);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// The lines of a run's metrics.jsonl, without a half-written last one; null reads as NaN.
/// Errors: InvalidInput with the line number for a broken line; std::system_error if the file
/// cannot be read.
std::vector<MetricLine> read_metrics(const std::filesystem::path& path);

/// What a resumed run does first: drops the lines beyond `step` and a half-written last line, in
/// one step. The checkpoint of a step is to be written after the lines of that step. `step` = −1,
/// for a run without a checkpoint, drops all. A missing file is left missing. Errors: InvalidInput
/// with the line number for a broken line before the last.
void truncate_after(const std::filesystem::path& path, int64_t step);

}  // namespace gradthru::train
