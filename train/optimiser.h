#pragma once

#include <torch/optim/optimizer.h>

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "train/checkpoint.h"

namespace gradthru::train {

struct OptimiserOptions {
  double lr = 1e-3;
  std::tuple<double, double> betas = {0.9, 0.999};  ///< adam, radam
  double eps = 1e-8;                                ///< adam, radam
  double weight_decay = 0;                          ///< added to the gradient
  double momentum = 0;                              ///< sgd
  bool nesterov = false;                            ///< sgd; needs momentum > 0
};

/// The names that make_optimiser knows: adam, radam, sgd. For a config key's choices.
const std::vector<std::string>& optimiser_names();

/// Errors: InvalidInput for an unknown name or an option out of its domain.
std::unique_ptr<torch::optim::Optimizer> make_optimiser(std::string_view name,
                                                        std::vector<at::Tensor> params,
                                                        const OptimiserOptions& options);

/// Changes the learning rate of all groups.
void set_learning_rate(torch::optim::Optimizer& optimiser, double lr);

/// Puts moments, step counts and learning rates under names that begin with `prefix`, and takes
/// them back: the restored optimiser, over parameters in the same order, goes on bit for bit. For
/// what make_optimiser makes and torch::optim::Adam. The checkpoint shares memory with the
/// optimiser: save it before the next step. Errors: restore: InvalidInput where an entry is missing
/// or of another shape or dtype; the optimiser is then unchanged.
void store(const torch::optim::Optimizer& optimiser, Checkpoint& checkpoint,
           const std::string& prefix);
void restore(torch::optim::Optimizer& optimiser, const Checkpoint& checkpoint,
             const std::string& prefix);

}  // namespace gradthru::train
