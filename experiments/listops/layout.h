#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace gradthru::experiments::listops {

/// Where the tokens of a batch lie: rows are sentences, the longest first, and tokens are stored
/// position after position without padding, so that what is still going on is always the first
/// rows. A merge of two neighbours makes each row one node shorter; rows of one node have dropped
/// out.
class Layout {
 public:
  /// `lengths` of the rows, >= 1, falling.
  explicit Layout(std::vector<int64_t> lengths);

  const std::vector<int64_t>& lengths() const { return lengths_; }
  int64_t rows() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t longest() const { return lengths_.front(); }
  int64_t tokens() const { return offsets_.back(); }
  int64_t merges() const { return tokens() - rows(); }  ///< of all rows
  int64_t levels() const { return longest() - 1; }

  /// How many rows have a token at the position; also, how many merge at level position - 1.
  int64_t rows_at(int64_t position) const;
  int64_t merging(int64_t level) const { return rows_at(level + 1); }

  /// The place of row 0 of this position among all tokens.
  int64_t offset(int64_t position) const { return offsets_[static_cast<size_t>(position)]; }

  /// Place of each row's token: [rows, longest] int64, `beyond` where there is none.
  at::Tensor places(int64_t beyond) const;

  /// Of each token but the first of its row, in the order of the layout, the place of the token
  /// before it: [merges] int64.
  at::Tensor predecessors() const;

  /// [merging(level), nodes - 1] bool: the pairs of neighbours that exist before this level's
  /// merge, where rows have at most `longest() - level` nodes.
  at::Tensor mask(int64_t level) const;

 private:
  std::vector<int64_t> lengths_;
  std::vector<int64_t> offsets_;  // of each position, and their end
  at::Tensor length_;             // the lengths, [rows, 1]
};

}  // namespace gradthru::experiments::listops
