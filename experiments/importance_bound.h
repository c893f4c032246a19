#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "gradthru/key.h"

namespace gradthru::experiments {

/// The log weights of `count` samples for each of n examples, [count, n]:
/// log p(x_i, z) - log q(z | x_i) with z ~ q(z | x_i). One sample uses one offset of the key.
using LogWeights = std::function<at::Tensor(int64_t count, const Key& key)>;

struct ImportanceOptions {
  int64_t samples = 100;
  int64_t examples_at_once = 100;
  int64_t samples_at_once =
      40;  ///< of each example: what is in memory does not grow with `samples`
  Key key{};
};

/// The importance-weighted bound on -log p(x), its mean over examples, in nats:
/// -log (1/M) sum over m of p(x, z_m) / q(z_m | x), which falls with M. `weights_of(first, n)`
/// gives the weights of examples `first` to `first + n`, and puts their place into the key's row0.
/// Determinism: a pure function of the weights and the key; it does not depend on how many examples
///   or samples are taken at once, but for rounding.
/// Source: Burda, Grosse, Salakhutdinov, arXiv 1509.00519.
double importance_bound(int64_t examples, const ImportanceOptions& options,
                        const std::function<LogWeights(int64_t first, int64_t n)>& weights_of);

}  // namespace gradthru::experiments
