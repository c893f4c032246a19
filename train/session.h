#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "train/checkpoint.h"
#include "train/figures.h"
#include "train/metrics.h"
#include "train/run_directory.h"
#include "train/summary.h"

namespace gradthru::train {

/// A loss or gradient that is no finite number: thrown by Training::step before the update.
class Diverged : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What one update reports.
struct StepReport {
  double loss = 0;
  int64_t examples = 0;
};

/// What a run leaves beside its metrics: a path in its folder, and what stands there.
struct RunFile {
  std::filesystem::path path;
  std::string content;
};

/// Results at the end of an epoch: lines for metrics.jsonl (the session fills in step, epoch and
/// time), the value whose smallest one marks the best checkpoint, what there is to see, and files,
/// which replace those of the epoch before.
struct EpochReport {
  std::vector<MetricLine> lines;
  double selection = 0;
  std::vector<Figure> figures{};
  std::vector<RunFile> files{};
};

/// A piece of work before the first update.
struct Preparation {
  bool done = true;
  std::vector<MetricLine> lines{};  ///< at step 0, to be kept
};

/// A model in training: what an experiment brings. Everything that decides the next update must be
/// in the checkpoint or be a function of the step, so that a killed run ends as an undisturbed one.
class Training {
 public:
  virtual ~Training() = default;

  virtual int64_t steps_per_epoch() const = 0;
  virtual int64_t epochs() const = 0;

  /// How often, at about equal distances, end_epoch is called in an epoch, the last time at its
  /// end: at most as often as there are steps. Its argument then counts these calls.
  virtual int64_t reports_per_epoch() const { return 1; }

  /// Called before the first update of a run: lines of metrics at step 0.
  virtual std::vector<MetricLine> begin() { return {}; }

  /// Work before the first update, such as the search for a setting, in pieces short enough that a
  /// signal can wait: called until it is done. A checkpoint follows a piece that has lines; a run
  /// that is resumed from it begins again, with what it restored, and hands out all lines anew.
  /// Errors: Diverged.
  virtual Preparation prepare() { return {}; }

  /// Update number `step` (from 0). Errors: Diverged, before anything of the model has changed.
  virtual StepReport step(int64_t step) = 0;

  /// Called when `epoch` epochs are done.
  virtual EpochReport end_epoch(int64_t epoch) = 0;

  virtual void store(Checkpoint& checkpoint) const = 0;
  virtual void restore(const Checkpoint& checkpoint) = 0;
};

/// Which checkpoint a resumed run goes on from.
enum class From { last, best };

/// Sees every line of a run's metrics, in their order: when a run is gone on with, first those that
/// are kept, all at once; then each new one after it was written.
using LineObserver = std::function<void(const std::vector<MetricLine>&)>;

struct SessionOptions {
  std::string label;               ///< in the progress line
  std::string config_sha256;       ///< a checkpoint of another configuration is refused
  double checkpoint_seconds = 30;  ///< between checkpoints inside an epoch
  From from = From::last;
  LineObserver observer{};  ///< may be empty
};

/// How a session ended: the head of a summary, to be completed by the caller.
struct SessionResult {
  Status status = Status::complete;
  int64_t steps = 0;
  double wall_s = 0;
  Summary::Values final_values;  ///< of the last epoch: `<split>_<metric>`
  Summary::Values best_values;   ///< of the epoch with the smallest selection value
  std::string failure;           ///< why it diverged
};

/// Runs the training to its end, from its checkpoint where there is one: progress, metrics,
/// checkpoints of epochs and in between. Ends when interrupted(): the caller has an InterruptGuard.
/// Errors: InvalidInput for a checkpoint of another configuration or one that cannot be read;
/// std::system_error where the folder cannot be written.
SessionResult run_session(Training& training, RunDirectory& directory,
                          const SessionOptions& options);

}  // namespace gradthru::train
