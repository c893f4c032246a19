#include "experiments/listops/evaluation.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "experiments/listops/examples.h"

namespace gradthru::experiments::listops {
namespace {

using data::ListOpsExample;

constexpr int64_t kTokensAtOnce = 4096;
constexpr std::array<int64_t, 4> kLengths = {10, 25, 50, kTooLong - 1};

/// The spans of the merges of each row.
void put_spans(const Batch& batch, const std::vector<at::Tensor>& merged,
               const std::vector<Verdict*>& rows) {
  std::vector<std::vector<Span>> nodes(rows.size());
  for (size_t b = 0; b < rows.size(); ++b) {
    for (int64_t i = 0; i < batch.layout.lengths()[b]; ++i) {
      nodes[b].emplace_back(static_cast<int>(i), static_cast<int>(i) + 1);
    }
  }
  for (const at::Tensor& level : merged) {
    const int64_t* place = level.const_data_ptr<int64_t>();
    for (int64_t b = 0; b < level.numel(); ++b) {
      auto& row = nodes[static_cast<size_t>(b)];
      const auto left = row.begin() + place[b];
      left->second = (left + 1)->second;
      rows[static_cast<size_t>(b)]->spans.push_back(*left);
      row.erase(left + 1);
    }
  }
}

void add(Score& score, const Verdict& verdict, bool right) {
  ++score.examples;
  score.right += right ? 1 : 0;
  score.loss += verdict.loss;
}

}  // namespace

std::vector<Verdict> evaluate(const Model& model, const std::vector<ListOpsExample>& examples) {
  const at::NoGradGuard no_grad;
  std::vector<Verdict> verdicts(examples.size());
  for (std::vector<int64_t>& order : by_length(examples, kTokensAtOnce)) {
    const Batch batch = batch_of(examples, order);
    const Outputs outputs = model.forward(batch, Choice{});
    const at::Tensor losses =
        at::cross_entropy_loss(outputs.scores, batch.labels, {}, at::Reduction::None);
    const at::Tensor labels = outputs.scores.argmax(1);
    std::vector<Verdict*> rows;
    for (size_t b = 0; b < order.size(); ++b) {
      rows.push_back(&verdicts[static_cast<size_t>(order[b])]);
      rows[b]->loss = losses.const_data_ptr<float>()[b];
      rows[b]->label = static_cast<int>(labels.const_data_ptr<int64_t>()[b]);
    }
    put_spans(batch, outputs.merged, rows);
  }
  return verdicts;
}

double Score::accuracy() const {
  if (examples == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(right) / static_cast<double>(examples);
}

Report report_on(const std::vector<ListOpsExample>& examples,
                 const std::vector<Verdict>& verdicts) {
  Report report;
  std::array<Score, kLengths.size()> by_length;
  int64_t spans = 0, found = 0;
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto& [tokens, label] = examples[i];
    const bool right = verdicts[i].label == label;
    add(report.all, verdicts[i], right);
    const auto bucket =
        std::lower_bound(kLengths.begin(), kLengths.end(), static_cast<int64_t>(tokens.size()));
    if (bucket != kLengths.end()) {
      add(by_length[static_cast<size_t>(bucket - kLengths.begin())], verdicts[i], right);
    }
    const auto depth = static_cast<size_t>(data::list_ops_depth(tokens));
    if (report.by_depth.size() < depth) report.by_depth.resize(depth);
    add(report.by_depth[depth - 1], verdicts[i], right);
    if (tokens.size() < 3) continue;
    const auto truth = data::list_ops_spans(tokens);
    const std::set<Span> official(truth.begin(), truth.end());
    const Span whole(0, static_cast<int>(tokens.size()));
    for (const Span& span : verdicts[i].spans) {
      if (span == whole) continue;
      ++spans;
      found += official.contains(span) ? 1 : 0;
    }
  }
  for (size_t i = 0; i < kLengths.size(); ++i) {
    if (by_length[i].examples > 0) report.by_length.emplace_back(kLengths[i], by_length[i]);
  }
  report.span_f1 = spans == 0 ? std::numeric_limits<double>::quiet_NaN()
                              : static_cast<double>(found) / static_cast<double>(spans);
  return report;
}

}  // namespace gradthru::experiments::listops
