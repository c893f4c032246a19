#include "experiments/vae/training.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "experiments/image_grid.h"
#include "experiments/parameters.h"
#include "experiments/vae/exact_bound.h"
#include "experiments/vae/setup.h"
#include "train/optimiser.h"
#include "train/streams.h"

namespace gradthru::experiments {
namespace {

using train::Checkpoint;
using train::Figure;
using train::MetricLine;

VaeModel initial_model(const VaeShape& shape, uint64_t seed) {
  begin_init_stream(seed);
  return VaeModel(shape);
}

const std::vector<std::string> kMetrics = {"nelbo", "recon", "kl", "max_prob"};

std::vector<at::Tensor> values_of(const VaeLoss& loss) {
  return {loss.nelbo(), loss.recon, loss.kl, loss.max_prob};
}

/// As the estimator, but with one-hots where it trains on relaxed samples: the model that all
/// share.
Estimator discrete(Estimator e) {
  e.hard = true;
  return e;
}

/// Of sgd, in the experiments that have the key.
double momentum(const train::Config& config) {
  return config.has("optimiser.momentum") ? config.number("optimiser.momentum") : 0;
}

}  // namespace

VaeTraining::VaeTraining(const RunPlan& plan, const data::ImageSet& images)
    : estimator_(plan.estimator),
      seed_(plan.seed),
      epochs_(plan.config.integer("epochs")),
      exact_(plan.config.text("eval.exact")),
      learning_rate_(plan.config.number("optimiser.lr")),
      train_(first_of(images.train_images, plan.config.integer("data.train_limit"))),
      test_(first_of(images.test_images, plan.config.integer("data.test_limit"))),
      model_(initial_model(shape_of(plan.config, images.train_images.size(1)), plan.seed)),
      noise_(train::stream_key(plan.seed, "noise")),
      batches_(train::stream_seed(plan.seed, "order"), train_.size(0),
               plan.config.integer("batch_size")),
      averages_(kMetrics) {
  optimiser_ = train::make_optimiser(plan.config.text("optimiser.name"),
                                     tensors_of(model_.named_parameters()),
                                     {.lr = learning_rate_, .momentum = momentum(plan.config)});
}

train::StepReport VaeTraining::step(int64_t step) {
  const at::Tensor x = train_.index_select(0, batches_.at(step));
  const double total = static_cast<double>(steps_per_epoch() * epochs_);
  const Estimator estimator = estimator_.at(static_cast<double>(step) / total);
  const VaeLoss loss = model_.loss(x, estimator, noise_.take(offsets_used(estimator)));
  const at::Tensor objective = loss.nelbo();
  optimiser_->zero_grad();
  objective.backward();
  const double value = objective.item<double>();
  require_finite(value, model_.named_parameters(), estimator_, learning_rate_);
  optimiser_->step();
  averages_.add(values_of(loss), x.size(0));
  return {value, x.size(0)};
}

train::EpochReport VaeTraining::end_epoch(int64_t epoch) {
  MetricLine training;
  training.kind = train::Kind::train;
  training.split = train::Split::train;
  training.n = averages_.count();
  training.values = averages_.metrics();
  averages_.clear();
  MetricLine test = evaluate(test_, train::Split::test);
  if (wants_exact_bound(epoch)) {
    const ExactBound bound = exact_bound(model_, test_);
    test.values.push_back({"nelbo_exact", bound.nelbo});
    test.values.push_back({"nll", bound.nll});
  }
  const double selection = std::get<double>(test.values[0].value);
  return {{training, test}, selection, epoch == epochs_ ? pictures() : std::vector<Figure>()};
}

void VaeTraining::store(Checkpoint& checkpoint) const {
  experiments::store(model_.named_parameters(), checkpoint);
  train::store(*optimiser_, checkpoint, "optimiser.");
  averages_.store(checkpoint);
  checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
}

void VaeTraining::restore(const Checkpoint& checkpoint) {
  model_.restore(checkpoint);
  train::restore(*optimiser_, checkpoint, "optimiser.");
  averages_.restore(checkpoint);
  noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
}

/// One sample per image, from the `eval` stream: the same draws every time.
MetricLine VaeTraining::evaluate(const at::Tensor& images, train::Split split) const {
  const at::NoGradGuard no_grad;
  Key key = train::stream_key(seed_, "eval");
  const Estimator estimator = discrete(estimator_.at(1));
  Averages averages(kMetrics);
  constexpr int64_t kBlock = 1000;
  for (int64_t start = 0; start < images.size(0); start += kBlock) {
    const at::Tensor x = images.narrow(0, start, std::min(kBlock, images.size(0) - start));
    key.row0 = start * model_.shape().L;
    averages.add(values_of(model_.loss(x, estimator, key)), x.size(0));
  }
  MetricLine line;
  line.kind = train::Kind::eval;
  line.split = split;
  line.n = averages.count();
  line.values = averages.metrics();
  return line;
}

/// What people look at first; from streams of their own, or none.
std::vector<Figure> VaeTraining::pictures() const {
  constexpr int64_t kImages = 12, kSamples = 48;
  const at::NoGradGuard no_grad;
  const at::Tensor x = test_.narrow(0, 0, std::min(kImages, test_.size(0)));
  const Key key = train::stream_key(seed_, "eval");
  const at::Tensor codes =
      sample(model_.encode(x), discrete(estimator_.at(1)), {.key = key}).onehot;

  at::Generator generator = at::detail::createCPUGenerator(train::stream_seed(seed_, "figures"));
  const VaeShape& shape = model_.shape();
  const at::Tensor drawn =
      at::one_hot(at::randint(shape.K, {kSamples, shape.L}, generator, at::kLong), shape.K);
  const at::Tensor samples = at::sigmoid(model_.decode(drawn.to(x.scalar_type())));
  return autoencoder_figures(x, at::sigmoid(model_.decode(codes)), samples);
}

/// The enumeration weights codes by q at temperature 1: the law of the sampled bound only where
/// the estimator draws at that temperature.
bool VaeTraining::wants_exact_bound(int64_t epoch) const {
  if (traits(discrete(estimator_.at(1))).sampling_tau != 1) return false;
  if (model_.shape().codes(kEnumerationLimit) < 0) return false;
  return exact_ == "every" || (exact_ == "last" && epoch == epochs_);
}

}  // namespace gradthru::experiments
