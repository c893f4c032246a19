#include "experiments/cost/workload.h"

#include <ATen/Functions.h>

#include <stdexcept>

#include "gradthru/categorical.h"
#include "gradthru/error.h"
#include "train/optimiser.h"

namespace gradthru::experiments::cost {

using at::Tensor;

namespace {

constexpr double kRate = 1e-7;

}  // namespace

std::vector<Candidate> Workload::candidates(const Estimator& e, bool with_plain) {
  if (e.method == Method::exact && !enumerable()) {
    throw InvalidInput(
        "cost: exact wants a step whose states can be enumerated, such as "
        "workload=vae latent=8x4");
  }
  const bool exact = e.method == Method::exact;
  std::vector<Candidate> all;
  all.push_back({to_string(e), [this, e, exact] { return exact ? enumerated() : by_library(e); }});
  all.push_back({"none", [this] { return by_none(); }});
  if (e != st()) all.push_back({"st", [this] { return by_library(st()); }});
  if (enumerable() && !exact) all.push_back({"exact", [this] { return enumerated(); }});
  if (!with_plain) return all;
  for (Candidate& way : plain(e)) {
    way.plain = true;
    all.push_back(std::move(way));
  }
  return all;
}

void Workload::clear() {
  for (Tensor& parameter : parameters_) parameter.mutable_grad().reset();
}

void Workload::backward(const Tensor& root) {
  root.backward();
}

void Workload::update() {
  if (optimiser_) optimiser_->step();
}

void Workload::optimise(const std::string& optimiser, const std::vector<Tensor>& parameters) {
  parameters_ = parameters;
  optimiser_ = train::make_optimiser(optimiser, parameters, {.lr = kRate});
}

Tensor Workload::enumerated() {
  throw std::logic_error("cost: this step has no enumeration");
}

Tensor CategoricalWorkload::by_library(const Estimator& e) {
  if (about(e.method).family == Family::score) return by_values(e);
  return by_draw([this, &e](const Tensor& logits) {
    return sample(logits, e, {.key = noise_.take(offsets_used(e))}).onehot;
  });
}

Tensor CategoricalWorkload::by_none() {
  return by_draw([](const Tensor& logits) { return at::softmax(logits, -1); });
}

std::vector<Candidate> CategoricalWorkload::plain(const Estimator& e) {
  std::vector<Candidate> all;
  for (const auto& [name, way] : plain_ways(e, rows(), categories())) {
    check_way(e, way);
    all.push_back({name, [this, way = way] { return by_draw(way); }});
  }
  return all;
}

}  // namespace gradthru::experiments::cost
