#include "experiments/dry_run.h"

#include <algorithm>
#include <chrono>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "experiments/run_plan.h"

namespace gradthru::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kPrepareSeconds = 10, kStepSeconds = 1.5;
constexpr int64_t kMaxSteps = 50;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Json described(const PlannedRun& run) {
  return {{"name", run.name},
          {"folder", run.folder.string()},
          {"method", to_string(run.plan.estimator)},
          {"seed", run.plan.seed},
          {"config_sha256", run.plan.config.sha256(kResumable)}};
}

/// Seconds of one update. The first one pays for what is set up once.
double seconds_per_step(train::Training& training) {
  training.step(0);
  const int64_t most = std::min(kMaxSteps, training.steps_per_epoch() - 1);
  if (most < 1) {
    const double begin = now();
    training.step(1);
    return now() - begin;
  }
  const double begin = now();
  int64_t done = 0;
  while (done < most && now() - begin < kStepSeconds) training.step(++done);
  return (now() - begin) / static_cast<double>(done);
}

std::vector<std::string> names_of(const train::EpochReport& report) {
  std::vector<std::string> names;
  for (const auto& line : report.lines) {
    if (line.kind == train::Kind::probe) continue;
    for (const auto& metric : line.values) {
      if (!std::holds_alternative<double>(metric.value)) continue;
      names.push_back(std::string(to_string(line.split)) + "_" + metric.name);
    }
  }
  return names;
}

void add_times(Json& line, const RunPlan& plan, const Experiment& experiment, bool last) {
  const double begin = now();
  const StartedRun started = experiment.start(plan);
  train::Training& training = *started.training;
  line["epochs"] = training.epochs();
  line["steps"] = training.epochs() * training.steps_per_epoch();
  for (const char* key : {"start_s", "step_s", "epoch_end_s"}) line[key] = nullptr;
  line["values"] = Json::array();
  try {
    training.begin();
    while (!training.prepare().done) {
      if (now() - begin > kPrepareSeconds) return;
    }
    line["start_s"] = now() - begin;
    line["step_s"] = seconds_per_step(training);
    const double end = now();
    line["values"] = names_of(training.end_epoch(last ? training.epochs() : 1));
    line["epoch_end_s"] = now() - end;
  } catch (const train::Diverged&) {
    // What was measured until then is there; a sweep goes on with its other runs.
  }
}

/// A text may be no UTF-8: it came from a user.
std::string printed(const Json& line) {
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json answer(SweepRequest request, const Experiment& experiment, const std::string& line) {
  try {
    for (const Json& assignment : Json::parse(line)) {
      request.assignments.push_back(assignment.get<std::string>());
    }
  } catch (const Json::exception&) {
    throw InvalidInput("--dry-run=batch wants lines like [\"key=value\", …], got '" + line + "'");
  }
  try {
    Json runs = Json::array();
    for (const PlannedRun& run : plan_runs(request, experiment)) runs.push_back(described(run));
    return {{"runs", runs}};
  } catch (const InvalidInput& mistake) {
    return {{"error", mistake.what()}};
  }
}

}  // namespace

void dry_run(const SweepRequest& request, DryRun what, std::istream& in, std::ostream& out) {
  const Experiment& experiment = find(request.experiment);
  if (what == DryRun::batch) {
    for (std::string line; std::getline(in, line);) {
      out << printed(answer(request, experiment, line)) << "\n";
    }
    return;
  }
  auto runs = plan_runs(request, experiment);
  place_runs(runs, request);
  for (const PlannedRun& run : runs) {
    Json line = described(run);
    if (what != DryRun::plan) add_times(line, run.plan, experiment, what == DryRun::last);
    out << printed(line) << std::endl;
  }
}

}  // namespace gradthru::experiments
