#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/parameters.h"
#include "experiments/sbn-train/images.h"
#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "lab/problem.h"
#include "train/session.h"

// What a task of the experiment is: everything else (batches, optimiser, modes of evaluation, gap,
// checkpoints) is the same for all, in training.h.
namespace gradthru::experiments::decoupled {

/// What is made of a trained model: files for the run's folder, and values of the test.
struct Product {
  std::vector<train::RunFile> files;
  std::vector<std::pair<std::string, double>> values;
};

/// A model with discrete variables inside, and its loss. Images are rows of pixels in [0, 1].
class Task {
 public:
  virtual ~Task() = default;

  /// The parameters whose gradient comes through discrete variables, and the others.
  virtual NamedTensors encoder() const = 0;
  virtual NamedTensors decoder() const = 0;

  /// The loss that is trained, its mean over the batch, and the offsets that one use of it takes.
  virtual at::Tensor loss(const LabelledImages& batch, const Estimator& e,
                          const Key& key) const = 0;
  virtual uint64_t offsets_used(const Estimator& e) const = 0;

  /// Names of what evaluate() gives. The first is `loss`.
  virtual std::vector<std::string> metrics() const { return {"loss"}; }

  /// Means over the examples where the variables are sampled at the temperature `tau`, 0: the
  /// likeliest values. `e` is the estimator of the run, `first` the number of the first example:
  /// the noise of an example depends on its number alone.
  virtual at::Tensor evaluate(const LabelledImages& examples, const Estimator& e, double tau,
                              Key key, int64_t first) const = 0;

  /// What is made of the model after the last epoch.
  virtual Product product(const LabelledImages& test) const {
    static_cast<void>(test);
    return {};
  }

  /// The loss of these images as a problem of the lab, for the gradient gap; none if the task has
  /// more than one layer of variables. It looks at the weights as they are when it is used.
  virtual std::optional<lab::Problem> problem(const at::Tensor& images) const {
    static_cast<void>(images);
    return std::nullopt;
  }
};

/// What a task is made from. Parameters come from the default generator.
struct TaskSetting {
  const LabelledImages& train;
  int64_t height, width;  ///< of the images
  int64_t classes;
  std::vector<int64_t> hidden;  ///< `model.hidden`
  bool kl_at_tau_f = false;     ///< `kl_tau`
};

/// A task by its name, and the values of keys that were not set.
struct TaskEntry {
  std::string name;
  std::string
      latent{};  ///< of a VAE: optimiser and learning rate are those of `vae` at this latent
  std::string data = "mnist";
  std::string lr = "0.001";  ///< for Adam; a VAE has that of its latent
  int64_t batch = 128;
  int64_t samples = 1;                   ///< of an evaluation
  std::vector<int64_t> small{}, full{};  ///< `model.hidden` by `model.size`
  size_t fewest = 1, most = 16;          ///< entries of `model.hidden`
  bool binary = false;                   ///< variables of two categories
  bool has_gap = true;
  bool has_mean = false;  ///< takes `ap1` as well, where every choice is replaced by its mean
  std::function<std::unique_ptr<Task>(const TaskSetting&)> make{};
};

/// All tasks, in the order of --help.
const std::vector<TaskEntry>& tasks();

/// Errors: std::logic_error for an unknown name.
const TaskEntry& task(const std::string& name);

}  // namespace gradthru::experiments::decoupled
