#include "data/listops_expression.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "gradthru/error.h"

namespace gradthru::data {
namespace {

constexpr std::array<std::string_view, 4> kOperators = {"MIN", "MAX", "MED", "SM"};

bool is_digit(ListOpsToken token) {
  return token < 10;
}

int apply(ListOpsToken operation, std::vector<int> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  switch (operation) {
    case kListOpsMin:
      return values.front();
    case kListOpsMax:
      return values.back();
    case kListOpsMed:
      return (values[(n - 1) / 2] + values[n / 2]) / 2;
    default:
      return std::accumulate(values.begin(), values.end(), 0) % 10;
  }
}

/// The token of a word, and for `[MAX` the bracket before it.
void append(std::string_view word, ListOpsTokens& tokens) {
  if (word == "]") {
    tokens.push_back(kListOpsClose);
    return;
  }
  if (word.size() == 1 && word[0] >= '0' && word[0] <= '9') {
    tokens.push_back(static_cast<ListOpsToken>(word[0] - '0'));
    return;
  }
  const auto known = word.starts_with('[')
                         ? std::find(kOperators.begin(), kOperators.end(), word.substr(1))
                         : kOperators.end();
  if (known == kOperators.end()) {
    throw InvalidInput("unknown token '" + std::string(word.substr(0, 20)) +
                       "', wanted a digit, [MIN, [MAX, [MED, [SM, ], ( or )");
  }
  tokens.push_back(kListOpsOpen);
  tokens.push_back(static_cast<ListOpsToken>(kListOpsMin + (known - kOperators.begin())));
}

/// One expression, all brackets closed, every operator with an argument.
void require_whole(const ListOpsTokens& tokens) {
  std::vector<int> arguments;  // of the open operators
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == kListOpsOpen) {
      arguments.push_back(0);
      ++i;
      continue;
    }
    if (tokens[i] == kListOpsClose) {
      if (arguments.empty()) throw InvalidInput("']' closes nothing");
      if (arguments.back() == 0) throw InvalidInput("an operator without arguments");
      arguments.pop_back();
    }
    if (!arguments.empty()) {
      ++arguments.back();
    } else if (i + 1 < tokens.size()) {
      throw InvalidInput("more tokens after the end of the expression");
    }
  }
  if (tokens.empty()) throw InvalidInput("no expression");
  if (!arguments.empty()) {
    throw InvalidInput(std::to_string(arguments.size()) + " '[' without ']'");
  }
}

/// How many arguments the operator of each opening bracket has.
std::vector<int> argument_counts(const ListOpsTokens& tokens) {
  std::vector<int> counts(tokens.size(), 0);
  std::vector<size_t> open;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == kListOpsClose) {
      open.pop_back();
    } else if (!is_digit(tokens[i]) && tokens[i] != kListOpsOpen) {
      continue;  // the operator
    } else if (!open.empty()) {
      ++counts[open.back()];
    }
    if (tokens[i] == kListOpsOpen) open.push_back(i);
  }
  return counts;
}

}  // namespace

ListOpsTokens parse_list_ops(std::string_view text) {
  ListOpsTokens tokens;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find(' ');
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (word != "(" && word != ")") append(word, tokens);
  }
  require_whole(tokens);
  if (list_ops_text(tokens) != text) {
    throw InvalidInput(
        "parentheses or blanks are not those of the tree that takes one argument at a time");
  }
  return tokens;
}

std::string list_ops_text(const ListOpsTokens& tokens) {
  const std::vector<int> counts = argument_counts(tokens);
  std::string text;
  size_t open = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!text.empty()) text += ' ';
    if (tokens[i] == kListOpsOpen) {
      for (int left = counts[i] + 1; left > 0; --left) text += "( ";
      text += '[';
      text += kOperators[tokens[++i] - kListOpsMin];
      ++open;
      continue;
    }
    if (is_digit(tokens[i])) {
      text += static_cast<char>('0' + tokens[i]);
      if (open > 0) text += " )";
      continue;
    }
    text += "] )";
    --open;
    if (open > 0) text += " )";  // this expression is an argument
  }
  return text;
}

int list_ops_value(const ListOpsTokens& tokens) {
  std::vector<std::pair<ListOpsToken, std::vector<int>>> open;
  int value = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == kListOpsOpen) {
      open.push_back({tokens[++i], {}});
      continue;
    }
    value = tokens[i];
    if (tokens[i] == kListOpsClose) {
      value = apply(open.back().first, std::move(open.back().second));
      open.pop_back();
    }
    if (!open.empty()) open.back().second.push_back(value);
  }
  return value;
}

int list_ops_depth(const ListOpsTokens& tokens) {
  int open = 0, most = 1;
  for (const ListOpsToken token : tokens) {
    if (token == kListOpsOpen) ++open;
    if (is_digit(token)) most = std::max(most, open + 1);
    if (token == kListOpsClose) --open;
  }
  return most;
}

std::vector<std::pair<int, int>> list_ops_spans(const ListOpsTokens& tokens) {
  std::vector<std::pair<int, int>> spans;
  std::vector<int> open;
  for (int i = 0; i < static_cast<int>(tokens.size()); ++i) {
    const ListOpsToken token = tokens[static_cast<size_t>(i)];
    if (token == kListOpsOpen) {
      open.push_back(i);
      continue;
    }
    if (open.empty()) continue;              // a digit alone
    spans.emplace_back(open.back(), i + 1);  // the operator, or with an argument or ']' attached
    if (token != kListOpsClose) continue;
    open.pop_back();
    if (!open.empty()) spans.emplace_back(open.back(), i + 1);
  }
  return spans;
}

}  // namespace gradthru::data
