#include "experiments/sbn-train/learner.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/utils/clip_grad.h>

#include <utility>

#include "experiments/peak_memory.h"
#include "train/optimiser.h"

namespace gradthru::experiments {

using at::Tensor;
using train::Checkpoint;

Learner::Learner(nn::StochasticBinarySequential net, const Options& options)
    : net_(std::move(net)), options_(options) {
  for (const Tensor& p : net_->parameters()) start_.push_back(p.detach().clone());
}

void Learner::restart(double rate) {
  const at::NoGradGuard no_grad;
  const std::vector<Tensor> parameters = net_->parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].copy_(start_[i]);
    parameters[i].mutable_grad().reset();
  }
  rate_ = rate;
  noise_ = {.seed = options_.noise_seed};
  baseline_ = at::zeros({});
  optimiser_ = train::make_optimiser("sgd", parameters,
                                     {.lr = rate, .momentum = options_.momentum, .nesterov = true});
}

Tensor Learner::objective(const Tensor& input, const Tensor& labels, const Estimator& e,
                          const Tensor& baseline, const Key& key) const {
  nn::NetworkOptions options;
  options.one_flip_average = options_.one_flip_average;
  options.squashed_head = options_.squashed_head;
  options.baseline = baseline;
  options.decay = options_.baseline_decay;
  options.key = key;
  return net_->loss(input, labels, e, options);
}

double Learner::update(const Tensor& input, const Tensor& labels, double progress) {
  const Estimator e = options_.estimator.at(progress);
  const Tensor loss = objective(input, labels, e, baseline_, noise_.take(net_->offsets_used(e)));
  optimiser_->zero_grad();
  loss.backward();
  const double value = loss.item<double>();
  require_finite(value, parameters(), options_.estimator, rate_);
  torch::nn::utils::clip_grad_value_(net_->parameters(), options_.clip);
  optimiser_->step();
  return value;
}

int64_t Learner::peak_bytes(const Tensor& input, const Tensor& labels) const {
  for (const Tensor& p : net_->parameters()) p.mutable_grad().reset();
  const Tensor baseline = baseline_.clone();
  const PeakMemory memory;
  objective(input, labels, options_.estimator.at(0), baseline, noise_).backward();
  for (const Tensor& p : net_->parameters()) p.mutable_grad().reset();
  return memory.bytes();
}

NamedTensors Learner::parameters() const {
  NamedTensors all;
  for (const auto& parameter : net_->named_parameters()) {
    all.emplace_back(parameter.key(), parameter.value());
  }
  return all;
}

void Learner::store(Checkpoint& checkpoint) const {
  experiments::store(parameters(), checkpoint);
  train::store(*optimiser_, checkpoint, "optimiser.");
  checkpoint.tensors["baseline"] = baseline_;
  checkpoint.numbers["rate"] = rate_;
  checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
}

void Learner::restore(const Checkpoint& checkpoint) {
  restart(checkpoint.number("rate"));
  experiments::restore(parameters(), checkpoint);
  train::restore(*optimiser_, checkpoint, "optimiser.");
  baseline_.copy_(checkpoint.tensor("baseline"));
  noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
}

}  // namespace gradthru::experiments
