#include "cli/bench_command.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <charconv>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/check.h"
#include "bench/eager.h"
#include "bench/interleave.h"
#include "cli/bench_table.h"
#include "experiments/methods.h"
#include "gradthru/categorical.h"
#include "gradthru/error.h"

namespace gradthru::cli {
namespace {

using bench::Candidate;

constexpr const char* kShapes = "100x4,800x4,3000x10,32768x32,8192x1024,1000000x16,64x128000";
constexpr const char* kEstimators = "st;reinmax(1.3);gst;gumbel_softmax;gumbel_rao(10)";
constexpr int64_t kLargest = int64_t{1} << 28;       // logits of a shape: 1 GiB
constexpr int64_t kLargestEager = int64_t{1} << 28;  // numbers that the usual text may materialise
constexpr int64_t kSmallestForMemory = 1 << 20;      // bytes: below, other pages are what is seen
constexpr int64_t kTiny = 4096;                      // logits, up to which calls are what costs

constexpr const char* kLegend =
    "Forward and backward with autograd; medians [quartiles] of ratios paired by repetition, n of "
    "them.\n"
    "÷ ours: how many times faster ours is. usual: the estimator in eager LibTorch. "
    "gumbel_softmax: "
    "eager,\nhard. floor: a clone and an out-of-place sum of the same tensor. memory: peak of ours "
    "/ usual /\ngumbel_softmax, in sizes of the tensor of logits.\n";

constexpr const char* kMore =
    "\nAgainst Python, PyTorch compiled by Inductor, and with huge pages: ./dev bench in the "
    "sources,\nor python bench/side_by_side.py --library <libgradthru.so>\n";

struct Shape {
  std::string text;
  int64_t rows = 0, categories = 0;
};

struct BenchOptions {
  std::string shapes = kShapes, estimators = kEstimators;
  int threads = 1, repetitions = 15;
  bool json = false, list = false;
};

int64_t parse_size(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0 ? value : 0;
}

Shape parse_shape(const std::string& text) {
  const size_t cross = text.find('x');
  Shape shape{text};
  if (cross != std::string::npos) {
    shape.rows = parse_size(text.substr(0, cross));
    shape.categories = parse_size(text.substr(cross + 1));
  }
  if (shape.rows == 0 || shape.categories == 0) {
    throw InvalidInput("bench: a shape must be <rows>x<categories>, such as 3000x10, got '" + text +
                       "'");
  }
  if (shape.rows > kLargest / shape.categories) {
    throw InvalidInput("bench: a shape must have at most " + std::to_string(kLargest) +
                       " logits, got '" + text + "'");
  }
  return shape;
}

std::vector<Shape> parse_shapes(const std::string& text) {
  std::vector<Shape> shapes;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    shapes.push_back(parse_shape(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return shapes;
}

/// One cell of the table: data, candidates that were found valid, and what was not.
class Cell {
 public:
  Cell(const Shape& shape, const Estimator& estimator, const BenchOptions& options)
      : options_(options),
        logits_(at::randn({shape.rows, shape.categories})),
        grad_(at::randn({shape.rows, shape.categories})) {
    cell_.shape = shape.text;
    cell_.estimator = to_string(estimator);
    add_ours(estimator);
    add_usual(estimator);
    add_checked("eager", [](const at::Tensor& x) { return bench::gumbel_softmax_hard(x); });
    candidates_.push_back({"floor", [x = logits_] { x.clone(), x + x; }});
    if (logits_.numel() <= kTiny) {
      candidates_.push_back(
          {"clones", step([](const at::Tensor& x) { return x.clone().clone(); })});
    }
  }

  BenchCell measured() {
    bench::interleave(candidates_, {.repetitions = options_.repetitions});
    for (const Candidate& candidate : candidates_) {
      cell_.seconds[candidate.name] = candidate.seconds;
      if (static_cast<int64_t>(logits_.nbytes()) < kSmallestForMemory) continue;
      if (const auto peak = bench::peak_growth(candidate.run)) {
        cell_.memory[candidate.name] =
            static_cast<double>(*peak) / static_cast<double>(logits_.nbytes());
      }
    }
    add_ratios();
    return cell_;
  }

 private:
  /// Forward and backward, with a leaf of its own that never holds an old gradient.
  std::function<void()> step(const bench::Sampler& sampler) const {
    return [sampler, leaf = logits_.detach().requires_grad_(), grad = grad_]() mutable {
      sampler(leaf).backward(grad);
      leaf.mutable_grad() = at::Tensor();
    };
  }

  template <class Check>
  void attempt(const std::string& name, const bench::Sampler& sampler, const Check& check) {
    try {
      check();
      candidates_.push_back({name, step(sampler)});
    } catch (const std::exception& error) {
      const std::string message = error.what();
      cell_.failures[name] = message.substr(0, message.find('\n'));
    }
  }

  void add_checked(const std::string& name, const bench::Sampler& sampler) {
    attempt(name, sampler, [&] { bench::check_eager(sampler, logits_, grad_); });
  }

  void add_ours(const Estimator& estimator) {
    const auto ours = [estimator](const at::Tensor& x) { return sample(x, estimator).onehot; };
    attempt("ours", ours, [&] { bench::check_ours(estimator, logits_, grad_); });
    if (options_.threads == 1 || candidates_.empty()) return;
    Candidate single{"ours, 1 thread", candidates_.front().run};
    single.before = [] { at::set_num_threads(1); };
    single.after = [threads = options_.threads] {
      at::set_num_threads(threads);
      // Threads that went away come back here and not in the next candidate's time.
      at::ones({int64_t{1} << 18}).add_(1);
    };
    candidates_.push_back(std::move(single));
  }

  /// The fastest of the ways to write it.
  void add_usual(const Estimator& estimator) {
    if (bench::eager_numbers_per_logit(estimator) > kLargestEager / logits_.numel()) return;
    const auto ways = bench::eager_ways(estimator);
    if (ways.empty()) return;
    std::vector<Candidate> tries;
    for (const auto& way : ways) tries.push_back({"", step(way)});
    bench::interleave(tries, {.repetitions = 3, .seconds = 1});
    size_t best = 0;
    for (size_t i = 1; i < tries.size(); ++i) {
      const auto median = [&](size_t n) { return bench::spread_of(tries[n].seconds).median; };
      if (median(i) < median(best)) best = i;
    }
    add_checked("usual", ways[best]);
  }

  void add_ratios() {
    const Candidate& ours = candidates_.front();
    if (ours.name != "ours") return;
    for (const Candidate& other : candidates_) {
      if (other.name == "ours") continue;
      const bool floor = other.name == "floor" || other.name == "clones";
      cell_.ratios[other.name] =
          floor ? bench::ratio_of(ours, other) : bench::ratio_of(other, ours);
    }
  }

  const BenchOptions& options_;
  at::Tensor logits_, grad_;
  std::vector<Candidate> candidates_{};
  BenchCell cell_{};
};

void list_what_is_measured() {
  std::cout << "shapes      " << kShapes << "\nestimators  " << kEstimators
            << "\n\nAny spec string can be measured (gradthru list estimators); 'usual' is there "
               "for the published\nforms of st, reinmax, gst, gumbel_softmax and gumbel_rao.\n";
}

/// Shows which cell is at work, where a person looks on.
void say(const std::string& text) {
  std::cerr << "  " << text << "\n";
}

void print(const std::vector<BenchCell>& cells, const BenchOptions& options) {
  if (options.json) {
    const nlohmann::json all = {
        {"threads", options.threads}, {"dtype", "float32"}, {"cells", bench_json(cells)}};
    std::cout << all.dump(1) << "\n";
    return;
  }
  std::cout << kLegend << "\n"
            << options.threads << (options.threads == 1 ? " thread" : " threads") << ", float32\n\n"
            << bench_table(cells) << kMore;
}

int run(const BenchOptions& options) {
  const auto shapes = parse_shapes(options.shapes);
  const auto estimators = experiments::parse_constant_estimators("bench", options.estimators);
  if (options.list) {
    list_what_is_measured();
    return 0;
  }
  at::set_num_threads(options.threads);
  std::vector<BenchCell> cells;
  for (const Shape& shape : shapes) {
    for (const Estimator& estimator : estimators) {
      say(shape.text + " " + to_string(estimator));
      cells.push_back(Cell(shape, estimator, options).measured());
    }
  }
  print(cells, options);
  bool valid = true;
  for (const BenchCell& cell : cells) {
    for (const auto& [name, reason] : cell.failures) {
      say("NOT VALID, not timed: " + cell.shape + " " + cell.estimator + ", " + name + ": " +
          reason);
      valid = false;
    }
  }
  return valid ? 0 : 1;
}

}  // namespace

void add_bench_command(CLI::App& program, int& exit_code) {
  auto* command = program.add_subcommand("bench", "Measures this machine against eager LibTorch");
  const auto options = std::make_shared<BenchOptions>();
  command->footer("Example:\n  gradthru bench --shapes 3000x10,1000000x16 --estimators \"st;gst\"");
  command
      ->add_option("--shapes", options->shapes, "<rows>x<categories> separated by ','; see --list")
      ->type_name("");
  command
      ->add_option("--estimators", options->estimators, "Estimators separated by ';'; see --list")
      ->type_name("");
  command->add_option("--threads", options->threads, "Threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "Repetitions of a cell, at most")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "All times and ratios as JSON instead of the table");
  command->add_flag("--list", options->list, "Tells what is measured by default, measures nothing");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace gradthru::cli
