#include "experiments/sweep.h"

#include <iostream>
#include <optional>
#include <sstream>

#include "experiments/expected.h"
#include "experiments/run_plan.h"
#include "experiments/table.h"
#include "train/atomic_file.h"
#include "train/interrupt.h"

namespace gradthru::experiments {
namespace {

using train::Config;
using train::RunDirectory;
using train::Status;
using train::Summary;

/// A run that is resumed must be the same run.
void check_same_config(const std::filesystem::path& folder, const Experiment& experiment,
                       const Config& config) {
  if (!std::filesystem::exists(folder / "config.toml")) return;
  const Config before = config_of_run(experiment, folder);
  const auto differing = config.differing_keys(before, kResumable);
  if (differing.empty()) return;
  std::string keys;
  for (const auto& key : differing) keys += (keys.empty() ? "" : ", ") + key;
  throw InvalidInput("--resume: " + folder.string() +
                     " holds a run with another configuration; these keys differ: " + keys);
}

class Sweep {
 public:
  Sweep(const SweepRequest& request, const Experiment& experiment)
      : request_(request), experiment_(experiment) {}

  int run() {
    auto runs = plan_runs(request_, experiment_);
    place_runs(runs, request_);
    // To the last summary: of one event, several signals may come.
    const train::InterruptGuard guard;
    Table table(experiment_.columns);
    for (size_t i = 0; i < runs.size(); ++i) {
      const std::string place = std::to_string(i + 1) + "/" + std::to_string(runs.size());
      const auto summary = run_one(runs[i], place);
      if (!summary) {
        std::cout << "interrupted; go on with the same command and --resume\n";
        return 130;
      }
      table.add(point_name(runs[i]), *summary);
      // A signal may also come while the last step of a run is being evaluated: the run is then
      // complete, but those after it are not wanted.
      const bool is_last = i + 1 == runs.size();
      if (summary->status == Status::interrupted || (train::interrupted() && !is_last)) {
        std::cout << "interrupted: saved in " << runs[i].folder.string()
                  << "; go on with the same command and --resume\n";
        return 130;
      }
      if (summary->status == Status::diverged) ++diverged_;
    }
    table.print(std::cout);
    print_places(runs);
    return diverged_ > 0 ? 1 : 0;
  }

 private:
  /// None if it was interrupted before it had made anything.
  std::optional<Summary> run_one(PlannedRun& run, const std::string& place) {
    const auto finished = train::read_summary(run.folder / "summary.json");
    if (finished && finished->status != Status::interrupted) {
      check_same_config(run.folder, experiment_, run.plan.config);
      std::cout << run.name << ": " << to_string(finished->status) << " already, skipped\n";
      return finished;
    }
    // The folder is made only when the data is there.
    StartedRun started = experiment_.start(run.plan);
    if (train::interrupted()) return std::nullopt;
    RunDirectory directory(run.folder, request_.resume);
    check_same_config(run.folder, experiment_, run.plan.config);
    write_config(directory, run.plan, started);
    train::SessionOptions options;
    options.label =
        place + " " + to_string(run.plan.estimator) + " s" + std::to_string(run.plan.seed);
    options.config_sha256 = run.plan.config.sha256(kResumable);
    if (run.plan.config.has("run.checkpoint_seconds")) {
      options.checkpoint_seconds = run.plan.config.number("run.checkpoint_seconds");
    }
    options.from = request_.from;
    if (request_.observe) options.observer = request_.observe(directory.folder());
    const auto result = train::run_session(*started.training, directory, options);
    Summary summary = summarise(run.plan, started, options, result);
    if (result.status == Status::complete) {
      summary.expected = expected_figures(
          {directory.folder(), summary, run.plan.config, train::read_metrics(directory.metrics())});
    }
    train::write_summary(directory.summary(), summary);
    directory.log(closing_line(run, result));
    return summary;
  }

  void write_config(const RunDirectory& directory, const RunPlan& plan, const StartedRun& started) {
    Config::Record record = {{"version", GRADTHRU_VERSION}, {"experiment", experiment_.name}};
    for (const auto& [file, hash] : started.data) record.emplace_back(file, hash);
    train::write_atomically(directory.config(), plan.config.to_toml(record));
  }

  Summary summarise(const RunPlan& plan, const StartedRun& started,
                    const train::SessionOptions& options,
                    const train::SessionResult& result) const {
    Summary summary;
    summary.experiment = experiment_.name;
    summary.preset = request_.preset;
    summary.method = to_string(plan.estimator);
    summary.seed = plan.seed;
    summary.status = result.status;
    summary.steps = result.steps;
    summary.wall_s = result.wall_s;
    summary.final_values = result.final_values;
    summary.best_values = result.best_values;
    summary.data = started.data;
    summary.config_sha256 = options.config_sha256;
    summary.version = GRADTHRU_VERSION;
    return summary;
  }

  std::vector<train::ExpectedFigure> expected_figures(const FinishedRun& run) const {
    std::vector<train::ExpectedFigure> figures;
    for (const Verdict& v : check(experiment_, {run})) {
      figures.push_back({name_of(v.expected), v.expected.low, v.expected.high, v.value, v.ok});
    }
    return figures;
  }

  static std::string closing_line(const PlannedRun& run, const train::SessionResult& result) {
    std::ostringstream line;
    line << run.name << ": " << to_string(result.status) << " after " << result.steps << " steps, ";
    line.precision(1);
    line << std::fixed << result.wall_s << " s";
    if (!result.failure.empty()) line << " (" << result.failure << ")";
    return line.str();
  }

  static std::string point_name(const PlannedRun& run) {
    // The folder's name without method and seed is the grid point.
    const std::string tail =
        folder_name(to_string(run.plan.estimator)) + "-s" + std::to_string(run.plan.seed);
    return run.name.size() > tail.size() ? run.name.substr(0, run.name.size() - tail.size() - 1)
                                         : "";
  }

  void print_places(const std::vector<PlannedRun>& runs) const {
    const auto folder = runs.size() == 1 ? runs[0].folder : runs[0].folder.parent_path();
    std::cout << "\nruns: " << folder.string() << "\n";
  }

  const SweepRequest& request_;
  const Experiment& experiment_;
  int diverged_ = 0;
};

}  // namespace

int run_sweep(const SweepRequest& request) {
  return Sweep(request, find(request.experiment)).run();
}

}  // namespace gradthru::experiments
