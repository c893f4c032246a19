#include "experiments/vae/setup.h"

#include <mutex>
#include <string>
#include <tuple>

#include "experiments/latent.h"
#include "train/optimiser.h"

namespace gradthru::experiments {

using train::Config;

std::vector<train::ConfigKey> vae_keys() {
  return {
      {"latent", std::string("8x4"), "categories x latent variables", {}},
      {"tuned_tau", false, "take each method's backward temperature from the tuned table", {}},
      {"epochs", int64_t{2}, "passes over the training images", {.min = 1}},
      {"batch_size", int64_t{100}, "images per update", {.min = 1}},
      {"optimiser.name",
       std::string("adam"),
       "adam, radam or sgd; not set: the tuned one of the method and the cell",
       {.choices = train::optimiser_names()}},
      {"optimiser.lr", 5e-4, "learning rate; not set: the tuned one", {.above = 0}},
      {"model.hidden", std::vector<int64_t>{512, 256}, "encoder widths, mirrored", {.min = 1}},
      {"model.relu_logits", false, "ReLU on the logits too (the GST network)", {}},
      {"data.name",
       std::string("mnist"),
       "images",
       {.choices = {"mnist", "fashion-mnist", "digits"}}},
      {"data.dir", std::string(""), "root folder of the data sets", {}},
      {"data.verify", true, "check sizes and SHA-256 of the files", {}},
      {"data.train_limit", int64_t{0}, "use only the first n training images; 0: all", {.min = 0}},
      {"data.test_limit", int64_t{0}, "use only the first n test images; 0: all", {.min = 0}},
      {"eval.exact",
       std::string("last"),
       "when to enumerate the exact bound of a small latent: never, last or every epoch",
       {.choices = {"never", "last", "every"}}},
      {"run.checkpoint_seconds", 30.0, "between checkpoints inside an epoch", {.min = 0}},
  };
}

VaeShape shape_of(const Config& config, int64_t pixels) {
  VaeShape shape;
  std::tie(shape.K, shape.L) = parse_latent(config.text("latent"));
  shape.pixels = pixels;
  shape.hidden = config.integers("model.hidden");
  shape.relu_logits = config.boolean("model.relu_logits");
  return shape;
}

std::shared_ptr<const data::ImageSet> images_of(const Config& config) {
  static std::mutex mutex;
  static std::string kept_name;
  static std::shared_ptr<const data::ImageSet> kept;
  const std::lock_guard<std::mutex> lock(mutex);
  const std::string name = config.text("data.name"), dir = config.text("data.dir");
  const bool verify = config.boolean("data.verify");
  const std::string identity = name + "\n" + dir + (verify ? "\n1" : "\n0");
  if (!kept || kept_name != identity) {
    data::LoadOptions options;
    if (!dir.empty()) options.dir = dir;
    options.verify = verify;
    kept = std::make_shared<data::ImageSet>(data::load_images(name, options));
    kept_name = identity;
  }
  return kept;
}

at::Tensor first_of(const at::Tensor& images, int64_t limit) {
  return limit > 0 && limit < images.size(0) ? images.narrow(0, 0, limit) : images;
}

}  // namespace gradthru::experiments
