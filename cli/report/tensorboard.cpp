#include "cli/report/tensorboard.h"

#include <chrono>
#include <cmath>
#include <iostream>
#include <string>

#include "cli/report/runs.h"
#include "report/event_file.h"
#include "train/atomic_file.h"

namespace gradthru::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShortList = 16;

/// Seconds since 1970 at which the last line was written.
double time_of(const fs::path& file) {
  const auto time = std::chrono::file_clock::to_sys(fs::last_write_time(file));
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::string group_of(const train::MetricLine& line) {
  if (line.kind == train::Kind::probe && !line.note.empty()) return "probe/" + line.note + "/";
  return std::string(train::to_string(line.split)) + "/";
}

/// The events of one line.
std::string events_of(const train::MetricLine& line, double start) {
  std::string events;
  const auto add = [&](const std::string& name, double value) {
    if (!std::isfinite(value)) return;
    events += report::scalar_event(start + line.wall_s, line.step, group_of(line) + name, value);
  };
  for (const train::Metric& metric : line.values) {
    if (const double* number = std::get_if<double>(&metric.value)) {
      add(metric.name, *number);
    } else {
      const auto& list = std::get<std::vector<double>>(metric.value);
      if (list.size() > kShortList) continue;
      for (size_t i = 0; i < list.size(); ++i) {
        add(metric.name + "/" + std::to_string(i + 1), list[i]);
      }
    }
  }
  return events;
}

void write_events(const fs::path& run, const fs::path& folder) {
  const fs::path metrics = run / "metrics.jsonl";
  const auto lines = train::read_metrics(metrics);
  const double end = time_of(metrics), start = end - (lines.empty() ? 0 : lines.back().wall_s);
  std::string events = report::first_event(start);
  for (const auto& line : lines) events += events_of(line, start);
  fs::create_directories(folder);
  train::write_atomically(folder / "events.out.tfevents.gradthru", events);
}

}  // namespace

size_t write_event_files(const std::vector<fs::path>& folders, const fs::path& out) {
  size_t written = 0;
  for (const fs::path& folder : folders) {
    const fs::path top = fs::weakly_canonical(folder);
    for (const fs::path& run : run_folders({folder})) {
      if (!fs::exists(run / "metrics.jsonl")) continue;
      const fs::path name = run == top ? top.filename() : fs::relative(run, top);
      try {
        write_events(run, out / (folders.size() > 1 && run != top ? top.filename() / name : name));
        ++written;
      } catch (const InvalidInput& error) {
        std::cerr << "gradthru: report: skipped, " << error.what() << "\n";
      }
    }
  }
  return written;
}

}  // namespace gradthru::cli
