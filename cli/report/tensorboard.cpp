#include "cli/report/tensorboard.h"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <system_error>

#include "experiments/results.h"
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
  train::write_atomically(folder / kEventFile, events);
}

/// An event file that grows.
class LiveEventFile {
 public:
  explicit LiveEventFile(fs::path path) : path_(std::move(path)) {}

  void add(const std::vector<train::MetricLine>& lines) {
    if (lines.empty()) return;
    std::string events;
    if (!file_.is_open()) {
      start_ = now() - lines.back().wall_s;
      events = report::first_event(start_);
      file_.open(path_, std::ios::binary | std::ios::trunc);
    }
    for (const auto& line : lines) events += events_of(line, start_);
    file_ << events << std::flush;
    if (!file_) {
      throw std::system_error(errno, std::generic_category(), "cannot write " + path_.string());
    }
  }

 private:
  static double now() {
    const auto time = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration<double>(time).count();
  }

  fs::path path_;
  std::ofstream file_;
  double start_ = 0;  // when the run would have begun without a pause, seconds since 1970
};

}  // namespace

train::LineObserver live_event_file(const fs::path& run_folder) {
  const auto file = std::make_shared<LiveEventFile>(run_folder / kEventFile);
  return [file](const std::vector<train::MetricLine>& lines) { file->add(lines); };
}

size_t write_event_files(const std::vector<fs::path>& folders, const fs::path& out) {
  std::set<fs::path> taken;
  for (const fs::path& folder : folders) {
    const fs::path top = fs::weakly_canonical(folder);
    for (const fs::path& run : experiments::run_folders({folder})) {
      if (!fs::exists(run / "metrics.jsonl")) continue;
      const fs::path name = run == top ? top.filename() : fs::relative(run, top);
      const fs::path wanted = folders.size() > 1 && run != top ? top.filename() / name : name;
      fs::path place = wanted;
      for (int number = 2; taken.contains(place); ++number) {
        place = wanted.string() + "-" + std::to_string(number);
      }
      try {
        write_events(run, out / place);
        taken.insert(place);
      } catch (const InvalidInput& error) {
        std::cerr << "gradthru: report: skipped, " << error.what() << "\n";
      }
    }
  }
  return taken.size();
}

}  // namespace gradthru::cli
