#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "experiments/cost/workload.h"
#include "experiments/sbn-train/network.h"
#include "experiments/vae/model.h"

// The steps that are timed. All inputs and weights are functions of the seed.
namespace gradthru::experiments::cost {

/// The estimator alone: logits [rows, K], a given gradient at the sample, no update.
std::unique_ptr<Workload> kernel(int64_t rows, int64_t K, uint64_t seed);

/// Polynomial programming, as in the experiment poly: L variables of K categories, `batch` copies,
/// p = 2. `exact` is the closed form.
std::unique_ptr<Workload> polynomial(int64_t K, int64_t L, int64_t batch, uint64_t seed);

/// The experiment vae on random images. `exact` decodes every code once for all images.
std::unique_ptr<Workload> vae_step(const VaeShape& shape, int64_t batch, uint64_t seed);

/// The experiment sbn-train without the one-flip average of the head, which none of the baselines
/// has; `none` passes the means of the units on.
std::unique_ptr<Workload> network_step(const SbnShape& shape, int64_t batch, uint64_t seed);

/// The experiment listops on rows of `tokens` random tokens. `none` and the plain ways compose
/// densely, every pair of every level, as usual code does.
std::unique_ptr<Workload> listops_step(int64_t width, int64_t batch, int64_t tokens, uint64_t seed);

}  // namespace gradthru::experiments::cost
