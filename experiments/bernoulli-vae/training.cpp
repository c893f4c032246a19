#include "experiments/bernoulli-vae/training.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "experiments/gradient_variance.h"
#include "experiments/image_grid.h"
#include "experiments/importance_bound.h"
#include "experiments/parameters.h"
#include "experiments/vae/setup.h"
#include "gradthru/bernoulli.h"
#include "gradthru/expectation.h"
#include "train/optimiser.h"
#include "train/streams.h"

namespace gradthru::experiments::bernoulli {
namespace {

using at::Tensor;
using train::Checkpoint;
using train::MetricLine;
using train::Split;

constexpr double kActive = 0.01;  ///< variance of q over images from which a unit counts as active

// Offsets of the stream `eval`: the draws of the images, then those of the latents.
constexpr uint64_t kValidImages = 0, kTestImages = 1, kLatents = 2, kBound = 3;

Model initial_model(const RunPlan& plan, int64_t pixels) {
  begin_init_stream(plan.seed);
  return Model(
      {.latents = plan.config.integer("model.latents"),
       .pixels = pixels,
       .hidden = plan.config.integers("model.hidden"),
       .variant = plan.config.text("variant") == "fixed" ? Variant::fixed : Variant::released});
}

/// How many estimates of `one` pass each the budget pays for; a budget of 0 is that of one.
int64_t estimates(int64_t budget, int64_t one) {
  return budget == 0 ? 1 : budget / one;
}

Key eval_key(uint64_t seed, uint64_t offset) {
  Key key = train::stream_key(seed, "eval");
  key.offset += offset;
  return key;
}

}  // namespace

Training::Training(const RunPlan& plan, const GreyImages& images)
    : estimator_(plan.estimator),
      seed_(plan.seed),
      updates_(plan.config.integer("updates")),
      eval_every_(plan.config.integer("eval_every")),
      rate_(plan.config.number("optimiser.lr")),
      model_(initial_model(plan, images.train.size(1))),
      samples_(estimates(plan.config.integer("decoder_passes"), passes_of_one())),
      passes_(samples_ * passes_of_one()),
      redraws_(model_.shape().variant == Variant::fixed),
      when_bound_(plan.config.text("eval.bound")),
      bound_samples_(plan.config.integer("eval.bound_samples")),
      bound_images_(plan.config.integer("eval.bound_images")),
      variance_every_(plan.config.integer("variance.every")),
      variance_draws_(plan.config.integer("variance.draws")),
      variance_images_(plan.config.integer("variance.images")),
      grey_(images.train),
      valid_(binarised(images.valid, eval_key(seed_, kValidImages))),
      test_(binarised(images.test, eval_key(seed_, kTestImages))),
      batches_(train::stream_seed(plan.seed, "order"), grey_.size(0),
               plan.config.integer("batch_size")),
      optimiser_(train::make_optimiser(plan.config.text("optimiser.name"),
                                       tensors_of(model_.named_parameters()), {.lr = rate_})),
      noise_(train::stream_key(plan.seed, "noise")),
      baseline_(at::zeros({})),
      averages_({"nelbo", "recon", "kl"}) {}

int64_t Training::passes_of_one() const {
  return static_cast<int64_t>(evaluations(estimator_.at(0), model_.shape().latents, 2));
}

const Tensor& Training::images_of_pass(int64_t pass) {
  if (!redraws_) pass = 0;
  if (pass != drawn_pass_) {
    Key key = train::stream_key(seed_, "binarise");
    key.offset += static_cast<uint64_t>(pass);
    drawn_ = binarised(grey_, key);
    drawn_pass_ = pass;
  }
  return drawn_;
}

train::StepReport Training::step(int64_t step) {
  const Tensor& images = images_of_pass(step / batches_.per_pass());
  const Tensor x = images.index_select(0, batches_.at(step)).to(at::kFloat);
  const Estimator e = estimator_.at(static_cast<double>(step) / static_cast<double>(updates_));
  const ExpectationOptions options{.samples = samples_};
  const Loss loss = model_.loss(x, e,
                                {.samples = samples_,
                                 .baseline = baseline_,
                                 .key = noise_.take(expectation_offsets_used(e, options))});
  const Tensor objective = loss.nelbo();
  optimiser_->zero_grad();
  objective.backward();
  const double value = objective.item<double>();
  require_finite(value, model_.named_parameters(), estimator_, rate_);
  optimiser_->step();
  averages_.add({objective, loss.recon, loss.kl}, x.size(0));
  return {value, x.size(0)};
}

MetricLine Training::training_line(int64_t updates) {
  MetricLine line;
  line.split = Split::train;
  line.n = averages_.count();
  line.values = averages_.metrics();
  line.values.push_back({"decoder_evaluations", static_cast<double>(passes_)});
  if (variance_every_ > 0 && updates % variance_every_ == 0) {
    line.values.push_back({"encoder_grad_variance", encoder_gradient_variance(updates)});
  }
  averages_.clear();
  return line;
}

train::EpochReport Training::end_epoch(int64_t epoch) {
  const int64_t updates = epoch * eval_every_;
  train::EpochReport report;
  report.lines = {training_line(updates), evaluate(valid_, Split::valid, eval_key(seed_, kLatents)),
                  evaluate(test_, Split::test, eval_key(seed_, kLatents))};
  if (when_bound_ == "every" || (when_bound_ == "last" && updates == updates_)) {
    report.lines[2].values.push_back(
        {"bound", bound(first_of(test_, bound_images_), eval_key(seed_, kBound))});
  }
  report.selection = std::get<double>(report.lines[1].values[0].value);
  if (updates == updates_) report.figures = pictures();
  return report;
}

/// From streams of their own, or none.
std::vector<train::Figure> Training::pictures() const {
  constexpr int64_t kImages = 12, kSamples = 48;
  const at::NoGradGuard no_grad;
  const Tensor x = test_.narrow(0, 0, std::min(kImages, test_.size(0))).to(at::kFloat);
  const Key key = eval_key(seed_, kLatents);
  const Tensor codes = sample_binary(model_.encode(x), st(), {.key = key});
  Tensor samples;
  // The prior of the released code belongs to no latent: nothing can be drawn from it.
  if (model_.shape().variant == Variant::fixed) {
    at::Generator generator = at::detail::createCPUGenerator(train::stream_seed(seed_, "figures"));
    const Tensor& prior = model_.named_parameters().back().second;
    const Tensor drawn =
        at::bernoulli(prior.sigmoid().expand({kSamples, prior.size(0)}), generator);
    samples = at::sigmoid(model_.decode(drawn));
  }
  return autoencoder_figures(x, at::sigmoid(model_.decode(codes)), samples);
}

/// One sample of every image from q, whatever the estimator draws.
MetricLine Training::evaluate(const Tensor& images, Split split, Key key) const {
  const at::NoGradGuard no_grad;
  constexpr int64_t kBlock = 500;
  const int64_t L = model_.shape().latents, N = images.size(0);
  Tensor recon = at::zeros({}, at::kDouble), kl = recon.clone();
  Tensor means = at::zeros({2, L}, at::kDouble);  // of q and its square
  for (int64_t start = 0; start < N; start += kBlock) {
    const Tensor x = images.narrow(0, start, std::min(kBlock, N - start)).to(at::kFloat);
    const Tensor logits = model_.encode(x);
    key.row0 = start * L;
    const Tensor z = sample_binary(logits, st(), {.key = key});
    recon += model_.recon(z.unsqueeze(0), x).sum().to(at::kDouble) / static_cast<double>(N);
    kl += model_.kl(logits).sum().to(at::kDouble) / static_cast<double>(N);
    const Tensor q = logits.to(at::kDouble).sigmoid();
    means += at::stack({q.sum(0), q.square().sum(0)}) / static_cast<double>(N);
  }
  const Tensor variance = means[1] - means[0].square();
  MetricLine line;
  line.kind = train::Kind::eval;
  line.split = split;
  line.n = N;
  line.values = {{"nelbo", (recon + kl).item<double>()},
                 {"recon", recon.item<double>()},
                 {"kl", kl.item<double>()},
                 {"active_units", variance.gt(kActive).sum().item<double>()}};
  return line;
}

double Training::bound(const Tensor& images, Key key) const {
  return importance_bound(images.size(0), {.samples = bound_samples_, .key = key},
                          [&](int64_t first, int64_t n) {
                            const Tensor x = images.narrow(0, first, n).to(at::kFloat);
                            return model_.log_weights(x, first * model_.shape().latents);
                          });
}

/// On the first training images as they are drawn once, with the weights as they are.
double Training::encoder_gradient_variance(int64_t updates) const {
  Key key = train::stream_key(seed_, "probe");
  const Tensor x = binarised(first_of(grey_, variance_images_), key.take(1)).to(at::kFloat);
  const Estimator e = estimator_.at(static_cast<double>(updates) / static_cast<double>(updates_));
  const uint64_t offsets = expectation_offsets_used(e, {.samples = samples_});
  return gradient_variance(model_.encoder(), variance_draws_, [&](int64_t) {
    const Sampling how{
        .samples = samples_, .baseline = baseline_.clone(), .key = key.take(offsets)};
    model_.loss(x, e, how).nelbo().backward();
  });
}

void Training::store(Checkpoint& checkpoint) const {
  experiments::store(model_.named_parameters(), checkpoint);
  train::store(*optimiser_, checkpoint, "optimiser.");
  checkpoint.integers["noise.offset"] = static_cast<int64_t>(noise_.offset);
  checkpoint.tensors["baseline"] = baseline_;
  averages_.store(checkpoint);
}

void Training::restore(const Checkpoint& checkpoint) {
  experiments::restore(model_.named_parameters(), checkpoint);
  train::restore(*optimiser_, checkpoint, "optimiser.");
  noise_.offset = static_cast<uint64_t>(checkpoint.integer("noise.offset"));
  baseline_ = checkpoint.tensor("baseline").clone();
  averages_.restore(checkpoint);
}

}  // namespace gradthru::experiments::bernoulli
