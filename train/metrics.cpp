#include "train/metrics.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "train/atomic_file.h"

namespace gradthru::train {
namespace {
using nlohmann::ordered_json;

constexpr const char* kKinds[] = {"train", "eval", "probe", "event"};
constexpr const char* kSplits[] = {"train", "valid", "test", "none"};

const char* name_of(Kind kind) {
  return kKinds[static_cast<int>(kind)];
}

/// The value whose name it is. Errors: a json exception for a name that is none.
template <typename Value, size_t n>
Value value_of(const char* const (&names)[n], const std::string& name) {
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) {
    throw nlohmann::json::other_error::create(501, "unknown name " + name, nullptr);
  }
  return static_cast<Value>(found - std::begin(names));
}

bool is_snake_case(const std::string& name) {
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && is_lower(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_lower(c) || (c >= '0' && c <= '9') || c == '_';
  });
}

bool is_finite(const Metric& metric) {
  if (const double* number = std::get_if<double>(&metric.value)) return std::isfinite(*number);
  const auto& numbers = std::get<std::vector<double>>(metric.value);
  return std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); });
}

// nlohmann writes non-finite numbers as null by itself.
ordered_json to_object(const std::vector<Metric>& metrics, std::vector<std::string>& nonfinite) {
  ordered_json object = ordered_json::object();
  for (const Metric& metric : metrics) {
    if (!is_snake_case(metric.name) || object.contains(metric.name)) {
      throw std::logic_error("metrics: '" + metric.name +
                             "' is not lower snake case or comes twice in a line");
    }
    std::visit([&](const auto& value) { object[metric.name] = value; }, metric.value);
    const bool listed =
        std::find(nonfinite.begin(), nonfinite.end(), metric.name) != nonfinite.end();
    if (!is_finite(metric) && !listed) nonfinite.push_back(metric.name);
  }
  return object;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (file.peek() != std::ifstream::traits_type::eof()) bytes << file.rdbuf();
  if (!file.is_open() || file.bad() || bytes.bad()) {
    throw std::system_error(EIO, std::generic_category(), "cannot read " + path.string());
  }
  return bytes.str();
}

// The step of a line, or none where it is not a line of this schema.
std::optional<int64_t> step_of(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) {
    return std::nullopt;
  }
  return json["step"].get<int64_t>();
}

double number_from(const nlohmann::json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

std::vector<Metric> metrics_from(const nlohmann::json& object) {
  std::vector<Metric> metrics;
  for (const auto& [name, value] : object.items()) {
    if (!value.is_array()) {
      metrics.push_back({name, number_from(value)});
      continue;
    }
    std::vector<double> numbers;
    for (const auto& number : value) numbers.push_back(number_from(number));
    metrics.push_back({name, std::move(numbers)});
  }
  return metrics;
}

MetricLine line_from(const nlohmann::json& json) {
  MetricLine line;
  line.kind = value_of<Kind>(kKinds, json.at("kind").get<std::string>());
  line.step = json.at("step").get<int64_t>();
  line.epoch = json.at("epoch").get<double>();
  line.wall_s = json.at("wall_s").get<double>();
  line.split = value_of<Split>(kSplits, json.at("split").get<std::string>());
  line.n = json.at("n").get<int64_t>();
  line.values = metrics_from(json.at("values"));
  if (json.contains("std")) line.sd = metrics_from(json.at("std"));
  line.note = json.value("note", "");
  return line;
}

}  // namespace

std::string_view to_string(Split split) {
  return kSplits[static_cast<int>(split)];
}

std::string to_json(const MetricLine& line) {
  std::vector<std::string> nonfinite;
  ordered_json json;
  json["v"] = 1;
  json["kind"] = name_of(line.kind);
  json["step"] = line.step;
  json["epoch"] = line.epoch;
  json["wall_s"] = line.wall_s;
  json["split"] = to_string(line.split);
  json["n"] = line.n;
  json["values"] = to_object(line.values, nonfinite);
  if (!line.sd.empty()) json["std"] = to_object(line.sd, nonfinite);
  if (!line.note.empty()) json["note"] = line.note;
  if (!nonfinite.empty()) json["nonfinite"] = nonfinite;
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

MetricsWriter::MetricsWriter(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    throw std::system_error(errno, std::generic_category(), "cannot write " + path_.string());
  }
}

MetricsWriter::~MetricsWriter() {
  ::close(descriptor_);
}

void MetricsWriter::write(const MetricLine& line) {
  const std::string text = to_json(line) + "\n";
  struct stat before {};
  const bool known = ::fstat(descriptor_, &before) == 0 && S_ISREG(before.st_mode);
  const int error = write_fully(descriptor_, text.data(), text.size());
  if (error == 0) return;
  // Takes back the half of a line that a full disc accepted.
  if (known) (void)!::ftruncate(descriptor_, before.st_size);
  throw std::system_error(error, std::generic_category(), "cannot write " + path_.string());
}

std::vector<MetricLine> read_metrics(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  std::vector<MetricLine> lines;
  for (size_t begin = 0, end; (end = bytes.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    try {
      lines.push_back(line_from(nlohmann::json::parse(bytes.substr(begin, end - begin))));
    } catch (const nlohmann::json::exception&) {
      throw InvalidInput(path.string() + ": line " + std::to_string(lines.size() + 1) +
                         " is not a line of metrics");
    }
  }
  return lines;
}

void truncate_after(const std::filesystem::path& path, int64_t step) {
  if (!std::filesystem::exists(path)) return;
  const std::string bytes = read_file(path);
  std::string kept;
  int64_t number = 0;
  for (size_t begin = 0; begin < bytes.size();) {
    const size_t end = bytes.find('\n', begin);
    if (end == std::string::npos) break;  // half-written
    const std::string_view line(bytes.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    const auto line_step = step_of(line);
    if (!line_step && begin < bytes.size()) {
      throw InvalidInput(path.string() + ": line " + std::to_string(number) +
                         " is not a line of metrics (JSON with a step)");
    }
    if (line_step && *line_step <= step) kept.append(line).append("\n");
  }
  if (kept.size() != bytes.size()) write_atomically(path, kept);
}

}  // namespace gradthru::train
