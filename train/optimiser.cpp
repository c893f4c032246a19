#include "train/optimiser.h"

#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include <optional>
#include <stdexcept>
#include <utility>

#include "train/fused_adam.h"
#include "train/radam.h"

namespace gradthru::train {
namespace {
using torch::optim::AdamOptions;
using torch::optim::AdamParamState;
using torch::optim::Optimizer;
using torch::optim::OptimizerParamState;
using torch::optim::SGD;
using torch::optim::SGDOptions;
using torch::optim::SGDParamState;

void require(bool holds, const char* option, const char* wanted, double got) {
  if (holds) return;
  throw InvalidInput(std::string("optimiser: ") + option + " must be " + wanted + ", got " +
                     std::to_string(got));
}

void check(const OptimiserOptions& options) {
  const auto [beta1, beta2] = options.betas;
  require(options.lr >= 0, "lr", ">= 0", options.lr);
  require(beta1 >= 0 && beta1 < 1, "beta1", "in [0, 1)", beta1);
  require(beta2 >= 0 && beta2 < 1, "beta2", "in [0, 1)", beta2);
  require(options.eps >= 0, "eps", ">= 0", options.eps);
  require(options.weight_decay >= 0, "weight_decay", ">= 0", options.weight_decay);
  require(options.momentum >= 0, "momentum", ">= 0", options.momentum);
  require(options.momentum > 0 || !options.nesterov, "momentum", "> 0 with nesterov",
          options.momentum);
}

// The parts of a parameter's state that outlive a step, whichever optimiser it belongs to.
struct Moments {
  std::vector<std::pair<const char*, at::Tensor>> tensors;
  std::optional<int64_t> step;
};

template <typename AdamLike>
Moments adam_moments(const AdamLike& state) {
  return {{{"exp_avg", state.exp_avg()}, {"exp_avg_sq", state.exp_avg_sq()}}, state.step()};
}

Moments moments_of(const OptimizerParamState& state) {
  if (const auto* adam = dynamic_cast<const AdamParamState*>(&state)) return adam_moments(*adam);
  if (const auto* radam = dynamic_cast<const RAdamParamState*>(&state)) return adam_moments(*radam);
  if (const auto* sgd = dynamic_cast<const SGDParamState*>(&state)) {
    return {{{"momentum_buffer", sgd->momentum_buffer()}}, std::nullopt};
  }
  throw std::logic_error("store: an optimiser that it does not know");
}

void require_count(const Checkpoint& checkpoint, const std::string& name, size_t wanted) {
  const int64_t got = checkpoint.integer(name);
  if (got == int64_t(wanted)) return;
  throw InvalidInput("checkpoint: wants " + name + " = " + std::to_string(wanted) + ", got " +
                     std::to_string(got) + ": another model?");
}

// A tensor of its own, like `param`, from the checkpoint.
at::Tensor fetch(const Checkpoint& checkpoint, const std::string& name, const at::Tensor& param) {
  const at::Tensor& held = checkpoint.tensor(name);
  if (held.sizes() != param.sizes() || held.scalar_type() != param.scalar_type()) {
    throw InvalidInput("checkpoint: " + name + " does not fit its parameter: another model?");
  }
  return held.to(param.device()).clone();
}

template <typename State>
std::unique_ptr<OptimizerParamState> fetch_adam(const Checkpoint& checkpoint,
                                                const std::string& name, const at::Tensor& param) {
  auto state = std::make_unique<State>();
  state->step(checkpoint.integer(name + "step"));
  state->exp_avg(fetch(checkpoint, name + "exp_avg", param));
  state->exp_avg_sq(fetch(checkpoint, name + "exp_avg_sq", param));
  return state;
}

std::unique_ptr<OptimizerParamState> fetch_state(const Optimizer& optimiser,
                                                 const Checkpoint& checkpoint,
                                                 const std::string& name, const at::Tensor& param) {
  if (dynamic_cast<const RAdam*>(&optimiser)) {
    return fetch_adam<RAdamParamState>(checkpoint, name, param);
  }
  if (dynamic_cast<const SGD*>(&optimiser)) {
    auto state = std::make_unique<SGDParamState>();
    state->momentum_buffer(fetch(checkpoint, name + "momentum_buffer", param));
    return state;
  }
  return fetch_adam<AdamParamState>(checkpoint, name, param);
}

}  // namespace

const std::vector<std::string>& optimiser_names() {
  static const std::vector<std::string> names{"adam", "radam", "sgd"};
  return names;
}

std::unique_ptr<Optimizer> make_optimiser(std::string_view name, std::vector<at::Tensor> params,
                                          const OptimiserOptions& options) {
  check(options);
  if (name == "adam") {
    return std::make_unique<FusedAdam>(std::move(params), AdamOptions(options.lr)
                                                              .betas(options.betas)
                                                              .eps(options.eps)
                                                              .weight_decay(options.weight_decay));
  }
  if (name == "radam") {
    return std::make_unique<RAdam>(std::move(params), RAdamOptions(options.lr)
                                                          .betas(options.betas)
                                                          .eps(options.eps)
                                                          .weight_decay(options.weight_decay));
  }
  if (name == "sgd") {
    return std::make_unique<SGD>(std::move(params), SGDOptions(options.lr)
                                                        .momentum(options.momentum)
                                                        .nesterov(options.nesterov)
                                                        .weight_decay(options.weight_decay));
  }
  throw InvalidInput("optimiser: unknown name '" + std::string(name) +
                     "'; known: adam, radam, sgd" + did_you_mean(name, optimiser_names()));
}

void set_learning_rate(Optimizer& optimiser, double lr) {
  for (auto& group : optimiser.param_groups()) group.options().set_lr(lr);
}

void store(const Optimizer& optimiser, Checkpoint& checkpoint, const std::string& prefix) {
  const auto& groups = optimiser.param_groups();
  checkpoint.integers[prefix + "groups"] = int64_t(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::string group = prefix + std::to_string(g) + ".";
    checkpoint.integers[group + "params"] = int64_t(groups[g].params().size());
    checkpoint.numbers[group + "lr"] = groups[g].options().get_lr();
    const auto& params = groups[g].params();
    for (size_t i = 0; i < params.size(); ++i) {
      const std::string name = group + std::to_string(i) + ".";
      const auto held = optimiser.state().find(params[i].unsafeGetTensorImpl());
      const Moments moments =
          held == optimiser.state().end() ? Moments{} : moments_of(*held->second);
      // Plain SGD has a state without a tensor in it; nothing is to be kept of that.
      const bool has_state = !moments.tensors.empty() && moments.tensors[0].second.defined();
      checkpoint.integers[name + "has_state"] = has_state;
      if (!has_state) continue;
      if (moments.step) checkpoint.integers[name + "step"] = *moments.step;
      for (const auto& [part, tensor] : moments.tensors) checkpoint.tensors[name + part] = tensor;
    }
  }
}

void restore(Optimizer& optimiser, const Checkpoint& checkpoint, const std::string& prefix) {
  auto& groups = optimiser.param_groups();
  require_count(checkpoint, prefix + "groups", groups.size());
  std::vector<double> rates;
  std::vector<std::pair<void*, std::unique_ptr<OptimizerParamState>>> states;
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::string group = prefix + std::to_string(g) + ".";
    require_count(checkpoint, group + "params", groups[g].params().size());
    rates.push_back(checkpoint.number(group + "lr"));
    const auto& params = groups[g].params();
    for (size_t i = 0; i < params.size(); ++i) {
      const std::string name = group + std::to_string(i) + ".";
      if (checkpoint.integer(name + "has_state") == 0) continue;
      states.emplace_back(params[i].unsafeGetTensorImpl(),
                          fetch_state(optimiser, checkpoint, name, params[i]));
    }
  }
  // Everything was there and fits: only now is the optimiser touched.
  for (size_t g = 0; g < groups.size(); ++g) groups[g].options().set_lr(rates[g]);
  optimiser.state().clear();
  for (auto& [param, state] : states) optimiser.state()[param] = std::move(state);
}

}  // namespace gradthru::train
