#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "gradthru/categorical.h"
#include "support/estimators.h"
#include "support/rows.h"

// Many draws from one row of logits, in chunks that fit in memory.
namespace support {

inline constexpr int64_t kChunkCells = int64_t{1} << 22;

/// The indices of `trials` rows with the same logits, rows numbered from 0.
inline std::vector<int64_t> draw_indices(const at::Tensor& logits_row, const Estimator& e,
                                         gradthru::Key key, int64_t trials) {
  const int64_t categories = logits_row.numel();
  const int64_t chunk = std::max<int64_t>(1, kChunkCells / categories);
  std::vector<int64_t> indices;
  for (int64_t start = 0; start < trials; start += chunk) {
    const int64_t rows = std::min(chunk, trials - start);
    key.row0 = start;
    const at::Tensor logits = logits_row.unsqueeze(0).expand({rows, categories});
    for (int64_t index : indices_of(gradthru::sample(logits, e, {.key = key}).index))
      indices.push_back(index);
  }
  return indices;
}

/// How often each category was drawn; an index outside 0..K-1 is an error of the sampler.
inline std::vector<int64_t> count_indices(const std::vector<int64_t>& indices, int64_t categories) {
  std::vector<int64_t> counts(static_cast<size_t>(categories), 0);
  for (int64_t index : indices) ++counts.at(static_cast<size_t>(index));
  return counts;
}

/// The indices that the reference draws for these rows.
inline std::vector<int64_t> reference_indices(const std::vector<Row>& rows, const Estimator& e,
                                              const gradthru::Key& key) {
  std::vector<int64_t> indices;
  for (size_t n = 0; n < rows.size(); ++n)
    indices.push_back(reference_index(rows[n], e, key, static_cast<int64_t>(n)));
  return indices;
}

/// One estimator for each way to draw an index.
inline std::vector<Estimator> drawing_estimators() {
  using gradthru::Noise;
  return {gradthru::st({.tau_f = 0.7, .tau_b = 1}),
          gradthru::reinmax(1.3),
          gradthru::gumbel_softmax({.tau = 0.5}),
          gradthru::gumbel_softmax({.tau_f = 2, .tau_b = 0.5}),
          gradthru::gumbel_rao({.tau = 0.5, .samples = 3}),
          gradthru::gumbel_rao({.tau_f = 2, .tau_b = 0.5, .samples = 2})};
}

}  // namespace support
