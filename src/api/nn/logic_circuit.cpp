#include "gradthru/nn/logic_circuit.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "api/shape_text.h"
#include "gradthru/error.h"

namespace gradthru::nn {
namespace {

using at::Tensor;

constexpr int64_t kWordBits = 64;
constexpr int64_t kWords = 8;  ///< worked on together: a cache line

[[noreturn]] void fail(const std::string& what) {
  throw InvalidInput("LogicCircuit: " + what);
}

using Words = std::array<uint64_t, kWords>;

template <class Function>
void each_word(const Words& a, const Words& b, Words& out, Function function) {
  for (size_t i = 0; i < kWords; ++i) out[i] = function(a[i], b[i]);
}

/// Word by word, the function of 16 that is the sum of the products that its bits name.
void apply(uint8_t function, const Words& a, const Words& b, Words& out) {
  switch (function) {
    case 0:
      return out.fill(0);
    case 1:
      return each_word(a, b, out, [](uint64_t x, uint64_t y) { return x & y; });
    case 2:
      return each_word(a, b, out, [](uint64_t x, uint64_t y) { return x & ~y; });
    case 3:
      return each_word(a, b, out, [](uint64_t x, uint64_t) { return x; });
    case 4:
      return each_word(a, b, out, [](uint64_t x, uint64_t y) { return ~x & y; });
    case 5:
      return each_word(a, b, out, [](uint64_t, uint64_t y) { return y; });
    case 6:
      return each_word(a, b, out, [](uint64_t x, uint64_t y) { return x ^ y; });
    case 7:
      return each_word(a, b, out, [](uint64_t x, uint64_t y) { return x | y; });
    default:  // 15 - k is the negation of k
      apply(static_cast<uint8_t>(15 - function), a, b, out);
      for (auto& word : out) word = ~word;
  }
}

/// Which of the inputs a and b a function depends on.
std::pair<bool, bool> sees(uint8_t function) {
  const bool constant = function == 0 || function == 15;
  return {!constant && function != 5 && function != 10,
          !constant && function != 3 && function != 12};
}

/// The function in a language with the operators of C.
std::string expression(uint8_t function, const std::string& a, const std::string& b,
                       const std::string& zero, const std::string& ones) {
  switch (function) {
    case 0:
      return zero;
    case 1:
      return a + " & " + b;
    case 2:
      return a + " & ~" + b;
    case 3:
      return a;
    case 4:
      return "~" + a + " & " + b;
    case 5:
      return b;
    case 6:
      return a + " ^ " + b;
    case 7:
      return a + " | " + b;
    case 10:
      return "~" + b;
    case 12:
      return "~" + a;
    case 15:
      return ones;
    default:
      return "~(" + expression(static_cast<uint8_t>(15 - function), a, b, zero, ones) + ")";
  }
}

void check_identifier(const std::string& name) {
  const auto letter = [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
  };
  const bool good =
      !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
        return letter(c) || std::isdigit(static_cast<unsigned char>(c));
      });
  if (!good) fail("the name must be an identifier, got '" + name + "'");
}

/// The bits of a piece of the examples, an entry for each signal.
std::vector<Words> packed(const Tensor& x, int64_t first, int64_t last) {
  std::vector<Words> bits(static_cast<size_t>(x.size(1)), Words{});
  for (int64_t e = first; e < last; ++e) {
    const bool* row = x.const_data_ptr<bool>() + e * x.size(1);
    const auto word = static_cast<size_t>((e - first) / kWordBits);
    const uint64_t bit = uint64_t{1} << ((e - first) % kWordBits);
    for (size_t i = 0; i < bits.size(); ++i) {
      if (row[i]) bits[i][word] |= bit;
    }
  }
  return bits;
}

}  // namespace

LogicCircuit::LogicCircuit(const std::vector<LogicGateLayer>& layers, int64_t groups)
    : inputs_(0), groups_(groups) {
  if (layers.empty()) fail("wants at least one layer, got none");
  inputs_ = layers.front()->inputs();
  int64_t below = inputs_;
  for (const auto& layer : layers) {
    if (layer->inputs() != below) {
      fail("a layer of " + std::to_string(layer->inputs()) + " inputs stands on one of " +
           std::to_string(below) + " gates");
    }
    CircuitLayer gates;
    below = layer->logits.size(0);
    const Tensor chosen = layer->gates(), left = layer->left.contiguous(),
                 right = layer->right.contiguous();
    for (int64_t g = 0; g < below; ++g) {
      gates.left.push_back(static_cast<int32_t>(left.const_data_ptr<int64_t>()[g]));
      gates.right.push_back(static_cast<int32_t>(right.const_data_ptr<int64_t>()[g]));
      gates.function.push_back(static_cast<uint8_t>(chosen.const_data_ptr<int64_t>()[g]));
    }
    layers_.push_back(std::move(gates));
  }
  if (groups < 1 || below % groups != 0) {
    fail("groups must be >= 1 and divide the " + std::to_string(below) + " outputs, got " +
         std::to_string(groups));
  }
}

int64_t LogicCircuit::outputs() const {
  return static_cast<int64_t>(layers_.back().function.size());
}

Tensor LogicCircuit::evaluate(const Tensor& x) const {
  if (x.dim() != 2 || x.size(1) != inputs_) {
    fail("input must be [B, " + std::to_string(inputs_) + "], got " + shape_text(x.sizes()));
  }
  const Tensor on = (x > 0.5).contiguous();
  const int64_t examples = x.size(0), outs = outputs(), piece = kWords * kWordBits;
  Tensor result = at::empty({examples, outs}, at::kBool);
  bool* to = result.mutable_data_ptr<bool>();
  at::parallel_for(0, (examples + piece - 1) / piece, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * piece, last = std::min(first + piece, examples);
      std::vector<Words> below = packed(on, first, last), above;
      for (const CircuitLayer& layer : layers_) {
        above.resize(layer.function.size());
        for (size_t g = 0; g < above.size(); ++g) {
          apply(layer.function[g], below[static_cast<size_t>(layer.left[g])],
                below[static_cast<size_t>(layer.right[g])], above[g]);
        }
        std::swap(below, above);
      }
      for (int64_t e = first; e < last; ++e) {
        const auto word = static_cast<size_t>((e - first) / kWordBits);
        for (int64_t o = 0; o < outs; ++o) {
          to[e * outs + o] = below[static_cast<size_t>(o)][word] >> ((e - first) % kWordBits) & 1;
        }
      }
    }
  });
  return result;
}

Tensor LogicCircuit::counts(const Tensor& x) const {
  return evaluate(x).reshape({x.size(0), groups_, -1}).sum(2);
}

std::vector<std::vector<bool>> LogicCircuit::used() const {
  std::vector<std::vector<bool>> result(layers_.size());
  std::vector<bool> wanted(layers_.back().function.size(), true);
  for (size_t l = layers_.size(); l-- > 0;) {
    const CircuitLayer& layer = layers_[l];
    const size_t below = l == 0 ? static_cast<size_t>(inputs_) : layers_[l - 1].function.size();
    std::vector<bool> next(below, false);
    for (size_t g = 0; g < wanted.size(); ++g) {
      if (!wanted[g]) continue;
      const auto [a, b] = sees(layer.function[g]);
      if (a) next[static_cast<size_t>(layer.left[g])] = true;
      if (b) next[static_cast<size_t>(layer.right[g])] = true;
    }
    result[l] = std::move(wanted);
    wanted = std::move(next);
  }
  return result;
}

int64_t LogicCircuit::used_gates() const {
  int64_t sum = 0;
  for (const auto& layer : used()) sum += std::count(layer.begin(), layer.end(), true);
  return sum;
}

namespace {

std::string entry(const std::string& name, int64_t i) {
  return name + "[" + std::to_string(i) + "]";
}

std::string scalar(const std::string& name, int64_t i) {
  return name + "_" + std::to_string(i);
}

/// A bit by the name of its layer and its number, as a language writes it.
using Element = std::string (*)(const std::string& name, int64_t i);

/// "left op right" of every gate that is used, handed to `line` after the bit that it gives.
template <class Line>
void each_gate(const std::vector<CircuitLayer>& layers, const std::vector<std::vector<bool>>& used,
               Element element, const std::string& zero, const std::string& ones, Line line) {
  const size_t top = layers.size();
  for (size_t l = 0; l < top; ++l) {
    const std::string below = l == 0 ? "x" : "g" + std::to_string(l);
    const std::string here = l + 1 == top ? "y" : "g" + std::to_string(l + 1);
    for (size_t g = 0; g < layers[l].function.size(); ++g) {
      if (!used[l][g]) continue;
      line(element(here, static_cast<int64_t>(g)),
           expression(layers[l].function[g], element(below, layers[l].left[g]),
                      element(below, layers[l].right[g]), zero, ones));
    }
  }
}

}  // namespace

std::string LogicCircuit::verilog(const std::string& module) const {
  check_identifier(module);
  std::string text = "module " + module + "(input wire [" + std::to_string(inputs_ - 1) +
                     ":0] x, output wire [" + std::to_string(outputs() - 1) + ":0] y);\n";
  // A wire for each bit: elaboration of bits of long vectors takes the square of their length.
  for (int64_t i = 0; i < inputs_; ++i) {
    text += "  wire " + scalar("x", i) + " = " + entry("x", i) + ";\n";
  }
  each_gate(layers_, used(), scalar, "1'b0", "1'b1",
            [&](const std::string& bit, const std::string& value) {
              text += "  wire " + bit + " = " + value + ";\n";
            });
  text += "  assign y = {";
  for (int64_t o = outputs(); o-- > 0;) text += scalar("y", o) + (o > 0 ? ", " : "};\n");
  return text + "endmodule\n";
}

std::string LogicCircuit::c_source(const std::string& name) const {
  check_identifier(name);
  const size_t top = layers_.size();
  std::string text = "#include <stdint.h>\n\nvoid " + name + "(const uint64_t *x, uint64_t *y) {\n";
  for (size_t l = 1; l < top; ++l) {
    text += "  static _Thread_local uint64_t g" + std::to_string(l) + "[" +
            std::to_string(layers_[l - 1].function.size()) + "];\n";
  }
  each_gate(layers_, used(), entry, "0", "~(uint64_t)0",
            [&](const std::string& bit, const std::string& value) {
              text += "  " + bit + " = " + value + ";\n";
            });
  return text + "}\n";
}

}  // namespace gradthru::nn
