#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "data/listops.h"
#include "experiments/listops/model.h"

namespace gradthru::experiments::listops {

/// A pair of tokens' places: the first, and one past the last.
using Span = std::pair<int, int>;

/// What a model says of an example, its tree chosen greedily.
struct Verdict {
  double loss = 0;            ///< cross-entropy, nats
  int label = 0;              ///< the likeliest value
  std::vector<Span> spans{};  ///< of the induced tree, in the order of the merges; the last is all
};

/// Evaluates all examples without dropout, by the merges of the highest score: the same bits every
/// time.
std::vector<Verdict> evaluate(const Model& model,
                              const std::vector<data::ListOpsExample>& examples);

/// Sums over examples.
struct Score {
  int64_t examples = 0, right = 0;
  double loss = 0;
  double accuracy() const;
};

struct Report {
  Score all;
  std::vector<std::pair<int64_t, Score>> by_length;  ///< most tokens of 10, 25, 50, 99; those seen
  std::vector<Score> by_depth;                       ///< entry i: depth i + 1
  double span_f1 = 0;
};

/// Spans count where they have two tokens or more and are not the whole expression, which any tree
/// has. Both trees have the same number of them, so that F1, precision and recall are one.
Report report_on(const std::vector<data::ListOpsExample>& examples,
                 const std::vector<Verdict>& verdicts);

}  // namespace gradthru::experiments::listops
