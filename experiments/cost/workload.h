#pragma once

#include <ATen/core/Tensor.h>
#include <torch/optim/optimizer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "experiments/cost/plain.h"
#include "gradthru/estimator.h"
#include "gradthru/key.h"

namespace gradthru::experiments::cost {

/// One way to do a training step's forward pass: what it returns has the graph behind it.
struct Candidate {
  std::string name;
  std::function<at::Tensor()> forward;
  bool plain = false;  ///< the estimator in plain ATen
};

/// A training step on inputs that are random numbers, the same for all candidates.
class Workload {
 public:
  virtual ~Workload() = default;

  /// The same step in several ways, checked against each other before anything is timed: first by
  /// the estimator; `none`, its categories replaced by their probabilities; `st` (unless that is
  /// the estimator); `exact` where all states can be enumerated; and, if wanted, the estimator in
  /// plain ATen, one entry per way to write it.
  /// Errors: InvalidInput for an estimator that the step cannot use; std::runtime_error where a
  /// plain way is another estimator.
  std::vector<Candidate> candidates(const Estimator& estimator, bool plain);

  virtual int64_t examples() const = 0;  ///< of a step

  // The rest of a step, alike for all candidates.
  void clear();  ///< gradients of the step before
  virtual void backward(const at::Tensor& root);
  virtual void update();

  /// Whether the logits are a result inside a model, as in every workload but the kernel: memory
  /// that only the graph keeps alive then counts as saved.
  virtual void put_inside_model(bool) {}

 protected:
  /// The optimiser of the step, with a rate so small that the weights stay where they are.
  void optimise(const std::string& optimiser, const std::vector<at::Tensor>& parameters);

  virtual at::Tensor by_library(const Estimator& estimator) = 0;
  virtual at::Tensor by_none() = 0;
  virtual bool enumerable() const { return false; }
  virtual at::Tensor enumerated();
  virtual std::vector<Candidate> plain(const Estimator&) { return {}; }

  std::vector<at::Tensor> parameters_;
  std::unique_ptr<torch::optim::Optimizer> optimiser_;
  Key noise_;
};

/// A step whose categories are drawn from logits [rows.., K] and used by the rest of the model.
class CategoricalWorkload : public Workload {
 protected:
  /// The step's root where `draw` gives the one-hots.
  virtual at::Tensor by_draw(const Draw& draw) = 0;
  /// The same for estimators that want values.
  virtual at::Tensor by_values(const Estimator& estimator) = 0;
  virtual int64_t rows() const = 0;
  virtual int64_t categories() const = 0;

  at::Tensor by_library(const Estimator& estimator) override;
  at::Tensor by_none() override;
  std::vector<Candidate> plain(const Estimator& estimator) override;
};

}  // namespace gradthru::experiments::cost
