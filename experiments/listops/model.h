#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "experiments/listops/composition.h"
#include "experiments/listops/layout.h"
#include "experiments/parameters.h"

namespace gradthru::experiments::listops {

/// Sentences of a batch, the longest first.
struct Batch {
  Layout layout;
  at::Tensor tokens;  ///< [layout.tokens()] int64
  at::Tensor labels;  ///< [layout.rows()] int64
};

struct ModelShape {
  int64_t width = 300;   ///< of everything
  double dropout = 0.5;  ///< of the embeddings and at both layers of the classifier
  double embedding_sd = 0.01;
};

/// What a batch gives: scores of the ten values [rows, 10], and the merges of each level.
struct Outputs {
  at::Tensor scores;
  std::vector<at::Tensor> merged;
};

/// The Gumbel Tree-LSTM: embedding, LSTM over the tokens, merging, classifier.
/// Source: Choi, Yoo, Lee, 1707.02786; sizes and initialisation as the code of GST, 2206.07235.
class Model {
 public:
  /// Parameters come from Torch's default generator.
  explicit Model(const ModelShape& shape);

  /// With a generator, training: dropout by its numbers. Without, dropout is off.
  Outputs forward(const Batch& batch, const Choice& choice,
                  const std::optional<at::Generator>& dropout = std::nullopt) const;

  const NamedTensors& named_parameters() const { return parameters_; }

 private:
  const at::Tensor& parameter(const char* name) const;
  at::Tensor drop(const at::Tensor& x, const std::optional<at::Generator>& generator) const;

  ModelShape shape_;
  NamedTensors parameters_;
};

}  // namespace gradthru::experiments::listops
