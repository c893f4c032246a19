#include "experiments/cost/cost.h"

#include <ATen/Functions.h>

#include <charconv>
#include <map>
#include <string>
#include <utility>

#include "experiments/cost/training.h"
#include "experiments/cost/workloads.h"
#include "experiments/latent.h"
#include "experiments/vae/exact_bound.h"
#include "gradthru/categorical.h"
#include "gradthru/expectation.h"
#include "gradthru/nn/binary_linear.h"

namespace gradthru::experiments {
namespace {

using train::Config;

constexpr int64_t kMostLogits = 200'000'000;

std::vector<train::ConfigKey> keys() {
  const std::vector<std::string> workloads = {"kernel", "poly", "vae", "sbn-train", "listops"};
  const std::vector<std::string> nets = {"fc", "cifar_s1"};
  return {
      {"workload", std::string("kernel"), "the step that is timed", {.choices = workloads}},
      {"shape", std::string("6000x10"), "of kernel: rows x categories", {}},
      {"latent",
       std::string("8x4"),
       "of poly and vae: categories x variables; not set: 2x128 for poly",
       {}},
      {"batch_size",
       int64_t{0},
       "examples of a step; 0: as in the experiment (poly 64, vae 100, sbn-train 64, listops 16)",
       {.min = 0, .max = 1e6}},
      {"vae.hidden", std::vector<int64_t>{512, 256}, "encoder widths, mirrored", {.min = 1}},
      {"sbn.net", std::string("fc"), "fc (28x28 images) or cifar_s1 (32x32)", {.choices = nets}},
      {"sbn.hidden", std::vector<int64_t>{200, 200}, "units of the layers of fc", {.min = 1}},
      {"sbn.width", 0.125, "of cifar_s1: multiplies its channels", {.max = 16, .above = 0}},
      {"listops.tokens", int64_t{50}, "of every row", {.min = 2, .max = 1000}},
      {"listops.width", int64_t{300}, "of embeddings and states", {.min = 1, .max = 10000}},
      {"plain", true, "also time the estimator in plain ATen, where there is such a form", {}},
      {"warm_ups", int64_t{20}, "steps of each candidate before any counts", {.min = 1}},
      {"repetitions", int64_t{100}, "turns of each candidate", {.min = 2}},
      {"seconds",
       2.0,
       "at least this long for each candidate, all repetitions together",
       {.min = 0, .max = 1e5}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints", {.min = 0}},
  };
}

/// `6000x10`: rows x categories.
std::pair<int64_t, int64_t> parse_shape(const std::string& text) {
  const auto number = [&](size_t from, size_t to) {
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data() + from, text.data() + to, value);
    return error == std::errc() && stop == text.data() + to && value <= kMostLogits ? value : 0;
  };
  const size_t x = std::min(text.find('x'), text.size());
  const int64_t rows = number(0, x), K = x < text.size() ? number(x + 1, text.size()) : 0;
  if (rows < 1 || K < 2 || rows * K > kMostLogits) {
    throw InvalidInput(
        "shape must be <rows>x<categories>, such as 6000x10, with at most "
        "200000000 logits, got '" +
        text + "'");
  }
  return {rows, K};
}

int64_t usual_batch(const std::string& workload) {
  static const std::map<std::string, int64_t> usual = {
      {"kernel", 1}, {"poly", 64}, {"vae", 100}, {"sbn-train", 64}, {"listops", 16}};
  return usual.at(workload);
}

SbnShape network_shape(const Config& config) {
  SbnShape shape;
  shape.net = config.text("sbn.net");
  shape.hidden = config.integers("sbn.hidden");
  shape.width = config.number("sbn.width");
  shape.side = shape.net == "fc" ? 28 : 32;
  return shape;
}

std::unique_ptr<cost::Workload> workload_of(const Config& config, uint64_t seed) {
  const std::string& name = config.text("workload");
  const int64_t batch = config.integer("batch_size");
  const auto [K, L] = parse_latent(config.text("latent"));
  if (name == "kernel") {
    const auto [rows, categories] = parse_shape(config.text("shape"));
    return cost::kernel(rows, categories, seed);
  }
  if (name == "poly") return cost::polynomial(K, L, batch, seed);
  if (name == "vae") {
    return cost::vae_step({.K = K, .L = L, .hidden = config.integers("vae.hidden")}, batch, seed);
  }
  if (name == "sbn-train") return cost::network_step(network_shape(config), batch, seed);
  return cost::listops_step(config.integer("listops.width"), batch,
                            config.integer("listops.tokens"), seed);
}

/// Refuses what the first step would refuse, by asking a small one of the kind.
void check_method(Config small, const Estimator& e) {
  const std::string workload = small.text("workload");
  if (!e.is_constant()) {
    throw InvalidInput("cost: wanted constant temperatures, got '" + to_string(e) + "'");
  }
  if (workload != "sbn-train" && about(e.method).family == Family::network) {
    throw InvalidInput("cost: '" + to_string(e) +
                       "' is a rule for stochastic binary networks; wanted workload=sbn-train");
  }
  if (workload == "kernel") {
    small.set("shape=1x" + std::to_string(parse_shape(small.text("shape")).second));
  }
  if (workload == "sbn-train" && small.text("sbn.net") == "fc" && e.method != Method::exact) {
    small.set("sbn.hidden=[1]");
  }
  if (e.method == Method::exact && workload == "vae") {
    const auto [K, L] = parse_latent(small.text("latent"));
    if (VaeShape{.K = K, .L = L}.codes(kEnumerationLimit) > 0) return;
  }
  small.set("batch_size=1");
  small.set("listops.width=2");
  small.set("listops.tokens=4");
  if (workload == "vae") small.set("vae.hidden=[2]");
  workload_of(small, 0)->candidates(e, false).front().forward();
}

Estimator resolve(Config& config, const Estimator& e) {
  const std::string& workload = config.text("workload");
  if (workload == "poly" && !config.has_been_set("latent")) config.set("latent=2x128");
  if (config.integer("batch_size") == 0) {
    config.set("batch_size=" + std::to_string(usual_batch(workload)));
  }
  parse_shape(config.text("shape"));
  parse_latent(config.text("latent"));
  channels_at(config.number("sbn.width"));
  if (config.integers("vae.hidden").empty() || config.integers("sbn.hidden").empty()) {
    throw InvalidInput("vae.hidden and sbn.hidden want at least one layer, got none");
  }
  check_method(config, e);
  return e;
}

StartedRun start(const RunPlan& plan) {
  auto workload = workload_of(plan.config, plan.seed);
  return {std::make_unique<cost::Measurement>(plan, std::move(workload)), {}};
}

}  // namespace

Experiment cost_experiment() {
  return {.name = "cost",
          .summary = "time and memory of a training step by each estimator, beside none at all",
          .keys = keys(),
          .resolve = resolve,
          .start = start,
          .columns = {"train_ratio_none", "train_ratio_st", "train_ratio_torch",
                      "train_ratio_exact", "train_step_ms", "train_fwd_ms", "train_bwd_ms",
                      "train_peak_mib", "train_saved_mib"}};
}

}  // namespace gradthru::experiments
