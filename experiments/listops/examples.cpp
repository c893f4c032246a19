#include "experiments/listops/examples.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <numeric>

#include "experiments/listops/generator.h"
#include "gradthru/error.h"
#include "train/sha256.h"
#include "train/streams.h"

namespace gradthru::experiments::listops {
namespace {

using data::ListOpsExample;

int64_t length(const ListOpsExample& example) {
  return static_cast<int64_t>(example.tokens.size());
}

/// The first `limit` (0: all) that have at most `most` tokens.
std::vector<ListOpsExample> short_ones(std::vector<ListOpsExample>::const_iterator first,
                                       std::vector<ListOpsExample>::const_iterator last,
                                       int64_t most, int64_t limit) {
  std::vector<ListOpsExample> kept;
  for (; first != last && (limit == 0 || static_cast<int64_t>(kept.size()) < limit); ++first) {
    if (length(*first) <= most) kept.push_back(*first);
  }
  return kept;
}

std::vector<int64_t> values_of(const at::Tensor& order) {
  const int64_t* first = order.const_data_ptr<int64_t>();
  return {first, first + order.numel()};
}

}  // namespace

Examples load_examples(const train::Config& config) {
  const bool verify = config.boolean("data.verify");
  const auto official = data::load_list_ops_test({config.text("data.dir"), verify});
  const int64_t count = config.integer("data.generated");
  const auto generated = generate_expressions(kGeneratorSeed, count, official.examples);
  const std::string sha256 = train::sha256_hex(text_of(generated));
  if (verify && count == kGenerated && sha256 != kGeneratedSha256) {
    throw InvalidInput("listops: wanted generated expressions with SHA-256 " +
                       std::string(kGeneratedSha256) + ", got " + sha256);
  }
  const int64_t most = config.integer("data.max_tokens");
  const auto held_out = generated.end() - std::max<int64_t>(1, count / 10);
  Examples examples;
  examples.train =
      short_ones(generated.begin(), held_out, most, config.integer("data.train_limit"));
  examples.valid = short_ones(held_out, generated.end(), most, config.integer("data.valid_limit"));
  examples.test = short_ones(official.examples.begin(), official.examples.end(), kTooLong - 1,
                             config.integer("data.test_limit"));
  const bool all = config.integer("data.test_limit") == 0;
  examples.official = all ? static_cast<int64_t>(official.examples.size()) : 0;
  if (examples.train.empty() || examples.valid.empty() || examples.test.empty()) {
    throw InvalidInput("listops: wanted expressions to train on, to validate and to test, got " +
                       std::to_string(examples.train.size()) + ", " +
                       std::to_string(examples.valid.size()) + " and " +
                       std::to_string(examples.test.size()) + " of at most " +
                       std::to_string(most) + " tokens");
  }
  examples.sha256 = {{official.name, official.sha256}, {"regenerated.tsv", sha256}};
  return examples;
}

Batch batch_of(const std::vector<ListOpsExample>& examples, std::vector<int64_t>& order) {
  const auto tokens_of = [&](int64_t i) -> const data::ListOpsTokens& {
    return examples[static_cast<size_t>(i)].tokens;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return tokens_of(a).size() > tokens_of(b).size(); });
  std::vector<int64_t> lengths, tokens, labels;
  for (const int64_t i : order) {
    lengths.push_back(length(examples[static_cast<size_t>(i)]));
    labels.push_back(examples[static_cast<size_t>(i)].label);
  }
  Layout layout(lengths);
  for (int64_t s = 0; s < layout.longest(); ++s) {
    for (int64_t b = 0; b < layout.rows_at(s); ++b) {
      tokens.push_back(tokens_of(order[static_cast<size_t>(b)])[static_cast<size_t>(s)]);
    }
  }
  return {std::move(layout), at::tensor(tokens, at::kLong), at::tensor(labels, at::kLong)};
}

Bucketed::Bucketed(uint64_t seed, std::vector<int64_t> lengths, int64_t batch)
    : seed_(seed), lengths_(std::move(lengths)), batch_(batch) {}

int64_t Bucketed::per_epoch() const {
  return (static_cast<int64_t>(lengths_.size()) + batch_ - 1) / batch_;
}

void Bucketed::enter(int64_t epoch) {
  if (epoch == epoch_) return;
  constexpr int64_t kPiece = 100;  // batches
  const auto count = static_cast<int64_t>(lengths_.size());
  // Two orders of an epoch: of the examples, and of the batches.
  examples_ = values_of(train::epoch_order(seed_, 2 * epoch, count));
  for (int64_t first = 0; first < count; first += kPiece * batch_) {
    const int64_t last = std::min(count, first + kPiece * batch_);
    std::stable_sort(examples_.begin() + first, examples_.begin() + last,
                     [&](int64_t a, int64_t b) {
                       return lengths_[static_cast<size_t>(a)] < lengths_[static_cast<size_t>(b)];
                     });
  }
  batches_ = values_of(train::epoch_order(seed_, 2 * epoch + 1, per_epoch()));
  epoch_ = epoch;
}

std::vector<int64_t> Bucketed::at(int64_t step) {
  enter(step / per_epoch());
  const int64_t first = batches_[static_cast<size_t>(step % per_epoch())] * batch_;
  const int64_t last = std::min(first + batch_, static_cast<int64_t>(examples_.size()));
  return {examples_.begin() + first, examples_.begin() + last};
}

std::vector<std::vector<int64_t>> by_length(const std::vector<ListOpsExample>& examples,
                                            int64_t tokens) {
  std::vector<int64_t> order(examples.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return length(examples[static_cast<size_t>(a)]) > length(examples[static_cast<size_t>(b)]);
  });
  std::vector<std::vector<int64_t>> batches;
  int64_t held = tokens;
  for (const int64_t i : order) {
    const int64_t size = length(examples[static_cast<size_t>(i)]);
    if (held + size > tokens) {
      batches.emplace_back();
      held = 0;
    }
    batches.back().push_back(i);
    held += size;
  }
  return batches;
}

}  // namespace gradthru::experiments::listops
