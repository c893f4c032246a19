#include "train/session.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <sstream>

#include "train/atomic_file.h"
#include "train/interrupt.h"
#include "train/progress.h"

namespace gradthru::train {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Summary::Values values_of(const std::vector<MetricLine>& lines) {
  Summary::Values values;
  for (const auto& line : lines) {
    if (line.kind == Kind::probe) continue;  // several of the same name
    for (const auto& metric : line.values) {
      if (const auto* number = std::get_if<double>(&metric.value)) {
        values.emplace_back(std::string(to_string(line.split)) + "_" + metric.name, *number);
      }
    }
  }
  return values;
}

constexpr double kTellSeconds = 3;

/// The session's own state, which travels in the checkpoint beside the training's.
class Session {
 public:
  Session(Training& training, RunDirectory& directory, const SessionOptions& options)
      : training_(training), directory_(directory), options_(options) {}

  SessionResult run() {
    resume();
    MetricsWriter metrics(directory_.metrics());
    const int64_t per_epoch = training_.steps_per_epoch();
    const int64_t total = per_epoch * training_.epochs();
    Progress progress(options_.label, total, result_.steps);
    started_ = saved_ = now();
    if (result_.steps == 0) {
      for (auto& line : training_.begin()) write(metrics, line);
      if (const auto ended = prepare(metrics)) return finish(*ended);
    }
    while (result_.steps < total) {
      if (!advance(metrics, progress)) return finish(Status::diverged);
      if (const auto report = report_at(result_.steps)) {
        if (!end_epoch(metrics, *report)) return finish(Status::diverged);
      } else if (now() - saved_ >= options_.checkpoint_seconds) {
        save_last();
      }
      if (interrupted() && result_.steps < total) {
        save_last();
        return finish(Status::interrupted);
      }
    }
    progress.finish();
    return finish(Status::complete);
  }

 private:
  /// The number of the report that is due after this many steps, from 1; none if none is.
  std::optional<int64_t> report_at(int64_t steps) const {
    const int64_t per_epoch = training_.steps_per_epoch(), n = training_.reports_per_epoch();
    const int64_t epoch = (steps - 1) / per_epoch, within = steps - epoch * per_epoch;
    // Report r of an epoch is due after the first step that has done the share r / n of it.
    const int64_t r = within * n / per_epoch;
    if (r == (within - 1) * n / per_epoch) return std::nullopt;
    return epoch * n + r;
  }

  std::optional<Status> prepare(MetricsWriter& metrics) {
    try {
      for (Preparation piece{.done = false}; !piece.done;) {
        piece = training_.prepare();
        for (auto& line : piece.lines) write(metrics, line);
        if (!piece.lines.empty()) save_last();
        if (interrupted()) {
          save_last();
          return Status::interrupted;
        }
      }
      return std::nullopt;
    } catch (const Diverged& error) {
      diverge(metrics, error.what());
      return Status::diverged;
    }
  }

  bool advance(MetricsWriter& metrics, Progress& progress) {
    try {
      const StepReport report = training_.step(result_.steps);
      ++result_.steps;
      progress.update(result_.steps, report.examples, report.loss);
      return true;
    } catch (const Diverged& error) {
      return diverge(metrics, error.what());
    }
  }

  /// Tells why, and is false.
  bool diverge(MetricsWriter& metrics, const std::string& why) {
    result_.failure = "step " + std::to_string(result_.steps) + ": " + why;
    MetricLine line;
    line.kind = Kind::event;
    line.note = result_.failure;
    write(metrics, line);
    return false;
  }

  bool end_epoch(MetricsWriter& metrics, int64_t number) {
    EpochReport report = training_.end_epoch(number);
    const double epoch =
        static_cast<double>(number) / static_cast<double>(training_.reports_per_epoch());
    for (auto& line : report.lines) write(metrics, line);
    // The last update can do what no later step is there to notice; the checkpoints stay good.
    if (!std::isfinite(report.selection)) {
      return diverge(metrics, "evaluation is not finite with " + options_.label);
    }
    for (const Figure& figure : report.figures) {
      write_figure(directory_.folder(), figure, epoch);
    }
    for (const RunFile& file : report.files) {
      const auto path = directory_.folder() / file.path;
      std::filesystem::create_directories(path.parent_path());
      write_atomically(path, file.content);
    }
    result_.final_values = values_of(report.lines);
    log_epoch(epoch);
    const bool best = report.selection < best_selection_;
    if (best) {
      best_selection_ = report.selection;
      result_.best_values = result_.final_values;
    }
    // The best one first: killed between the two, the run comes here again.
    if (best) save(checkpoint(), directory_.best_checkpoint());
    save_last();
    return true;
  }

  /// A line for people: short epochs are not all told.
  void log_epoch(double epoch) {
    if (epoch < static_cast<double>(training_.epochs()) && now() - told_ < kTellSeconds) return;
    told_ = now();
    std::ostringstream text;
    text << options_.label << " epoch " << epoch << "/" << training_.epochs() << ":";
    const char* between = " ";
    for (const auto& [name, value] : result_.final_values) {
      text << between << name << " " << readable(value);
      between = ", ";
    }
    directory_.log(text.str());
  }

  void write(MetricsWriter& metrics, MetricLine& line) {
    line.step = result_.steps;
    line.epoch = static_cast<double>(result_.steps) / training_.steps_per_epoch();
    line.wall_s = elapsed();
    metrics.write(line);
    if (options_.observer) options_.observer({line});
    if (line.kind == Kind::probe) log_line(line, "probe ");
    if (line.kind == Kind::event && !line.values.empty()) log_line(line, "");
  }

  void log_line(const MetricLine& line, const std::string& kind) {
    std::ostringstream text;
    text << options_.label << " epoch " << line.epoch << " " << kind << line.note << ":";
    const char* between = " ";
    for (const Metric& metric : line.values) {
      if (const auto* number = std::get_if<double>(&metric.value)) {
        text << between << metric.name << " " << readable(*number);
        between = ", ";
      }
    }
    directory_.log(text.str());
  }

  double elapsed() const { return before_ + (now() - started_); }

  Checkpoint checkpoint() const {
    Checkpoint state;
    state.config_sha256 = options_.config_sha256;
    state.integers["session.step"] = result_.steps;
    state.numbers["session.wall_s"] = elapsed();
    state.numbers["session.best_selection"] = best_selection_;
    for (const auto& [name, value] : result_.final_values)
      state.numbers["session.final." + name] = value;
    for (const auto& [name, value] : result_.best_values)
      state.numbers["session.best." + name] = value;
    training_.store(state);
    return state;
  }

  void save_last() {
    save(checkpoint(), directory_.last_checkpoint());
    saved_ = now();
  }

  void resume() {
    const bool best = options_.from == From::best;
    const auto path = best ? directory_.best_checkpoint() : directory_.last_checkpoint();
    // Without any checkpoint the run was killed before its first one: it starts again.
    if (std::filesystem::exists(path) || std::filesystem::exists(directory_.last_checkpoint())) {
      take(load_or_advise(path), path);
    }
    truncate_after(directory_.metrics(), result_.steps > 0 ? result_.steps : -1);
    if (options_.observer && std::filesystem::exists(directory_.metrics())) {
      options_.observer(read_metrics(directory_.metrics()));
    }
    // Not finished any more, whatever an earlier, interrupted session said.
    std::filesystem::remove(directory_.summary());
  }

  Checkpoint load_or_advise(const std::filesystem::path& path) const {
    try {
      return load(path);
    } catch (const InvalidInput& error) {
      const bool other =
          options_.from == From::last && std::filesystem::exists(directory_.best_checkpoint());
      throw InvalidInput(error.what() + std::string(other ? "; --resume=best goes on from the best "
                                                            "checkpoint"
                                                          : ""));
    }
  }

  static void take(const std::string& name, double value, const std::string& prefix,
                   Summary::Values& values) {
    if (name.starts_with(prefix)) values.emplace_back(name.substr(prefix.size()), value);
  }

  void take(const Checkpoint& state, const std::filesystem::path& path) {
    if (state.config_sha256 != options_.config_sha256) {
      throw InvalidInput(path.string() + ": checkpoint of another configuration");
    }
    result_.steps = state.integer("session.step");
    before_ = state.number("session.wall_s");
    best_selection_ = state.number("session.best_selection");
    for (const auto& [name, value] : state.numbers) {
      take(name, value, "session.final.", result_.final_values);
      take(name, value, "session.best.", result_.best_values);
    }
    training_.restore(state);
  }

  SessionResult finish(Status status) {
    result_.status = status;
    result_.wall_s = elapsed();
    return result_;
  }

  Training& training_;
  RunDirectory& directory_;
  const SessionOptions& options_;
  SessionResult result_;
  double before_ = 0;  // wall time of earlier sessions of this run
  double started_ = 0;
  double saved_ = 0;
  double told_ = 0;
  double best_selection_ = std::numeric_limits<double>::infinity();
};

}  // namespace

SessionResult run_session(Training& training, RunDirectory& directory,
                          const SessionOptions& options) {
  return Session(training, directory, options).run();
}

}  // namespace gradthru::train
