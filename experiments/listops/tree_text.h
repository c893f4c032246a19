#pragma once

#include <string>
#include <vector>

#include "data/listops_expression.h"
#include "experiments/listops/evaluation.h"

namespace gradthru::experiments::listops {

/// A tree over the tokens, drawn in lines from left to right, one token a line. `merges` are its
/// spans, children before their parents.
std::string drawn_tree(const data::ListOpsTokens& tokens, const std::vector<Span>& merges);

/// `[MAX 2 9]`: the expression for readers.
std::string readable_text(const data::ListOpsTokens& tokens);

}  // namespace gradthru::experiments::listops
