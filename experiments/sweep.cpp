#include "experiments/sweep.h"

#include <charconv>
#include <iostream>
#include <set>
#include <sstream>

#include "experiments/expected.h"
#include "experiments/table.h"
#include "train/atomic_file.h"
#include "train/interrupt.h"

namespace gradthru::experiments {
namespace {

using train::Config;
using train::RunDirectory;
using train::Status;
using train::Summary;

struct PlannedRun {
  RunPlan plan;
  std::string name;  // of the folder
  std::filesystem::path folder;
};

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

Config requested_config(const SweepRequest& request, const Experiment& experiment) {
  Config config = preset_config(experiment, request.preset);
  if (request.config_file) {
    config.merge_toml(read_text(*request.config_file), request.config_file->string());
  }
  for (const auto& assignment : request.assignments) config.set(assignment);
  if (request.methods) {
    std::string list;
    for (const auto& estimator : parse_estimators(*request.methods)) {
      list += (list.empty() ? "" : ", ") + quoted(to_string(estimator));
    }
    config.set("methods=[" + list + "]");
  }
  if (request.seeds) config.set("seeds=" + quoted(*request.seeds));
  return config;
}

/// A name that needs no quoting in a shell: gst(p,tau=0.7) becomes gst-p-tau-0.7.
std::string folder_name(std::string text) {
  std::string result;
  for (const char c : text) {
    if (c == ')' || c == '"' || c == '%') continue;
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' || c == '+';
    result += plain ? c : '-';
  }
  return result;
}

/// Every choice of one value for each axis of the grid.
std::vector<std::vector<std::string>> grid_points(const Config::Grid& grid) {
  std::vector<std::vector<std::string>> points = {{}};
  for (const auto& [key, assignments] : grid) {
    std::vector<std::vector<std::string>> longer;
    for (const auto& point : points) {
      for (const auto& assignment : assignments) {
        longer.push_back(point);
        longer.back().push_back(assignment);
      }
    }
    points = std::move(longer);
  }
  return points;
}

std::vector<PlannedRun> plan_runs(const Config& requested, const Experiment& experiment) {
  std::vector<Estimator> estimators;
  for (const auto& spec : requested.texts("methods")) estimators.push_back(parse_estimator(spec));
  if (estimators.empty()) throw InvalidInput("methods: wanted at least one estimator, got none");
  for (const auto& [key, values] : requested.grid()) {
    if (key == "methods" || key == "seeds") {
      throw InvalidInput("grid: " + key + " is a list already, set it outside the grid");
    }
  }
  std::vector<PlannedRun> runs;
  std::set<std::string> names;
  for (const auto& point : grid_points(requested.grid())) {
    for (const auto& estimator : estimators) {
      for (const uint64_t seed : parse_seeds(requested.text("seeds"))) {
        Config config = requested;
        std::string name;
        for (const auto& assignment : point) {
          config.set(assignment);
          name += folder_name(assignment) + "-";
        }
        const Estimator method = experiment.resolve(config, estimator);
        config.set("methods=[" + quoted(to_string(method)) + "]");
        config.set("seeds=" + quoted(std::to_string(seed)));
        name += folder_name(to_string(method)) + "-s" + std::to_string(seed);
        if (!names.insert(name).second) throw InvalidInput("run " + name + " is asked for twice");
        runs.push_back({{std::move(config), method, seed}, name, {}});
      }
    }
  }
  return runs;
}

/// One run alone lies in --out itself; several lie in sub-folders of it.
void place_runs(std::vector<PlannedRun>& runs, const SweepRequest& request) {
  for (auto& run : runs) {
    if (!request.out) {
      run.folder =
          std::filesystem::path("runs") / request.experiment / (request.preset + "-" + run.name);
    } else {
      run.folder = runs.size() == 1 ? *request.out : *request.out / run.name;
    }
  }
  if (request.out && runs.size() > 1) train::require_fresh(*request.out, request.resume);
  for (const auto& run : runs) train::require_fresh(run.folder, request.resume);
}

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
    auto runs = plan_runs(requested_config(request_, experiment_), experiment_);
    place_runs(runs, request_);
    Table table(experiment_.columns);
    for (size_t i = 0; i < runs.size(); ++i) {
      const std::string place = std::to_string(i + 1) + "/" + std::to_string(runs.size());
      const Summary summary = run_one(runs[i], place);
      table.add(point_name(runs[i]), summary);
      // A signal may also come while the last step of a run is being evaluated: the run is then
      // complete, but those after it are not wanted.
      const bool is_last = i + 1 == runs.size();
      if (summary.status == Status::interrupted || (train::interrupted() && !is_last)) {
        std::cout << "interrupted: saved in " << runs[i].folder.string()
                  << "; go on with the same command and --resume\n";
        return 130;
      }
      if (summary.status == Status::diverged) ++diverged_;
    }
    table.print(std::cout);
    print_places(runs);
    return diverged_ > 0 ? 1 : 0;
  }

 private:
  Summary run_one(PlannedRun& run, const std::string& place) {
    const auto finished = train::read_summary(run.folder / "summary.json");
    if (finished && finished->status != Status::interrupted) {
      check_same_config(run.folder, experiment_, run.plan.config);
      std::cout << run.name << ": " << to_string(finished->status) << " already, skipped\n";
      return *finished;
    }
    // The folder is made only when the data is there.
    StartedRun started = experiment_.start(run.plan);
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
    const auto result = train::run_session(*started.training, directory, options);
    Summary summary = summarise(run.plan, started, options, result);
    summary.expected = expected_figures({directory.folder(), summary, run.plan.config});
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

std::vector<uint64_t> parse_seeds(const std::string& text) {
  const auto bad = [&]() {
    return InvalidInput("seeds must be like 0..4 or 0,2,5, got '" + text + "'");
  };
  const auto number = [&](const std::string& part) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || part.empty()) throw bad();
    return value;
  };
  std::vector<uint64_t> seeds;
  const size_t dots = text.find("..");
  if (dots != std::string::npos) {
    const uint64_t first = number(text.substr(0, dots)), last = number(text.substr(dots + 2));
    if (last < first || last - first >= 10000) throw bad();
    for (uint64_t i = 0; i <= last - first; ++i) seeds.push_back(first + i);
    return seeds;
  }
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) seeds.push_back(number(part));
  if (seeds.empty() || text.back() == ',') throw bad();
  return seeds;
}

int run_sweep(const SweepRequest& request) {
  return Sweep(request, find(request.experiment)).run();
}

}  // namespace gradthru::experiments
