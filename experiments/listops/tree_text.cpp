#include "experiments/listops/tree_text.h"

#include <algorithm>
#include <array>
#include <set>

namespace gradthru::experiments::listops {
namespace {

using data::ListOpsToken;
using data::ListOpsTokens;

std::string word(ListOpsToken token) {
  static const std::array<const char*, 6> kWords = {"MIN", "MAX", "MED", "SM", "[", "]"};
  return token < 10 ? std::to_string(int{token}) : kWords[token - data::kListOpsMin];
}

class Drawing {
 public:
  Drawing(const ListOpsTokens& tokens, const std::vector<Span>& merges)
      : tokens_(tokens), merges_(merges.begin(), merges.end()) {}

  std::string text() {
    const Span all(0, static_cast<int>(tokens_.size()));
    node(all, "", "");
    return text_;
  }

 private:
  /// `here` is what stands before the node's first line, `below` before its others.
  void node(Span span, const std::string& here, const std::string& below) {
    if (span.second - span.first == 1) {
      text_ += here + "─ " + word(tokens_[static_cast<size_t>(span.first)]) + "\n";
      return;
    }
    int middle = span.first + 1;  // where the left child ends
    for (int end = span.second - 1; end > span.first + 1; --end) {
      if (!merges_.contains({span.first, end})) continue;
      middle = end;
      break;
    }
    node({span.first, middle}, here + "─┬", below + " │");
    node({middle, span.second}, below + " └", below + "  ");
  }

  const ListOpsTokens& tokens_;
  std::set<Span> merges_;
  std::string text_;
};

}  // namespace

std::string drawn_tree(const ListOpsTokens& tokens, const std::vector<Span>& merges) {
  return Drawing(tokens, merges).text();
}

std::string readable_text(const ListOpsTokens& tokens) {
  std::string text;
  for (const ListOpsToken token : tokens) {
    if (!text.empty() && text.back() != '[' && token != data::kListOpsClose) text += ' ';
    text += word(token);
  }
  return text;
}

}  // namespace gradthru::experiments::listops
