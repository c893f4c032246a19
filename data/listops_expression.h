#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradthru::data {

/// A token of an expression. Digits are 0 … 9; `[MAX` of the official text is two tokens, a bracket
/// and an operator.
using ListOpsToken = uint8_t;
inline constexpr ListOpsToken kListOpsMin = 10, kListOpsMax = 11, kListOpsMed = 12,
                              kListOpsSum = 13, kListOpsOpen = 14, kListOpsClose = 15;
inline constexpr int kListOpsVocabulary = 16;

/// An expression as its tokens, which say all: `[ MAX 2 9 ]`.
using ListOpsTokens = std::vector<ListOpsToken>;

/// Reads the official text, whose parentheses are those of the tree that attaches one argument, or
/// the closing bracket, at a time: `( ( ( [MAX 2 ) 9 ) ] )`.
/// Errors: InvalidInput for an unknown token, brackets that do not close, an operator without
/// arguments, and parentheses that are not those of that tree.
ListOpsTokens parse_list_ops(std::string_view text);

/// The official text: parse_list_ops() of it gives the tokens back.
std::string list_ops_text(const ListOpsTokens& tokens);

/// The value, 0 … 9. MED of an even number of values is the floor of the mean of the middle two, SM
/// the sum modulo 10.
int list_ops_value(const ListOpsTokens& tokens);

/// 1 for a digit, one more than the deepest argument for an operator.
int list_ops_depth(const ListOpsTokens& tokens);

/// The nodes of the official tree with at least two tokens, over the tokens: first, and one past
/// the last. There is one less than there are tokens; a bracket and its operator are one of them.
std::vector<std::pair<int, int>> list_ops_spans(const ListOpsTokens& tokens);

}  // namespace gradthru::data
