#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/listops.h"
#include "experiments/listops/model.h"
#include "train/config.h"

namespace gradthru::experiments::listops {

/// Expressions of a run.
struct Examples {
  std::vector<data::ListOpsExample> train, valid;
  std::vector<data::ListOpsExample> test;  ///< shorter than kTooLong
  int64_t official = 0;                    ///< test expressions of any length; 0 with a limit
  std::vector<std::pair<std::string, std::string>> sha256;  ///< file -> hash
};

/// Expressions of this many tokens and more are never looked at.
inline constexpr int64_t kTooLong = 100;

/// The official test set, and what is generated beside it: `data.generated` expressions, a tenth of
/// them for validation, of at most `data.max_tokens` tokens. Limits take the first ones.
/// Errors: InvalidInput as data::load_list_ops_test(); where the generator does not give what its
///   hash says; and where nothing is left to train on.
Examples load_examples(const train::Config& config);

/// The batch of some of the examples, the longest first and equally long ones in the given order.
/// `order` gets which example each row is.
Batch batch_of(const std::vector<data::ListOpsExample>& examples, std::vector<int64_t>& order);

/// Which examples each update sees. An epoch goes through all of them in an order of its own:
/// shuffled, sorted by length within pieces of a hundred batches, cut into batches, and the batches
/// shuffled.
class Bucketed {
 public:
  /// `seed` is that of the stream `order`.
  Bucketed(uint64_t seed, std::vector<int64_t> lengths, int64_t batch);

  int64_t per_epoch() const;
  /// A pure function of the step.
  std::vector<int64_t> at(int64_t step);

 private:
  void enter(int64_t epoch);

  uint64_t seed_;
  std::vector<int64_t> lengths_;
  int64_t batch_;
  int64_t epoch_ = -1;
  std::vector<int64_t> examples_;  // of this epoch, batch after batch before these are shuffled
  std::vector<int64_t> batches_;   // their order
};

/// Batches of an evaluation: sorted by length, each of about `tokens` tokens.
std::vector<std::vector<int64_t>> by_length(const std::vector<data::ListOpsExample>& examples,
                                            int64_t tokens);

}  // namespace gradthru::experiments::listops
