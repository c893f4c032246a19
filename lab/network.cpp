#include "lab/network.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gradthru/error.h"
#include "lab/json_file.h"
#include "network_schema.h"

namespace gradthru::lab {
namespace {

using at::Tensor;
using Json = nlohmann::json;

std::string size_text(const Tensor& matrix) {
  return std::to_string(matrix.size(0)) + "x" + std::to_string(matrix.size(1));
}

std::vector<NetworkLayer> read_layers(const JsonFile& file, int64_t inputs) {
  std::vector<NetworkLayer> layers;
  int64_t below = inputs;
  const Json& all = file.root()["layers"];
  for (const Json& layer : all) {
    const std::string name = "layers[" + std::to_string(layers.size()) + "]";
    const Tensor W = file.matrix(layer["W"], name + ".W");
    if (W.size(1) != below) {
      file.fail(name + ".W must have " + std::to_string(below) + " columns, as many as " +
                (layers.empty() ? "data.x" : "the layer below has units") + ", got " +
                size_text(W));
    }
    below = W.size(0);
    if (layers.size() + 1 < all.size() && below > kMostUnits) {
      file.fail(name + ": " + std::to_string(below) + " units have " +
                std::to_string(static_cast<int64_t>(std::ldexp(1.0, static_cast<int>(below)))) +
                " states; at most " + std::to_string(kMostUnits) + " units are enumerated");
    }
    layers.push_back({W, file.vector(layer["b"], name + ".b", below)});
  }
  return layers;
}

/// Targets -1 and 1 as float64, classes as int64.
Tensor read_labels(const JsonFile& file, const Json& y, bool classes, int64_t outputs) {
  const Tensor values = file.vector(y, "data.y");
  for (int64_t i = 0; i < values.size(0); ++i) {
    const double value = values[i].item<double>();
    const bool legal =
        classes ? value == std::floor(value) && value >= 0 && value < static_cast<double>(outputs)
                : value == 1 || value == -1;
    if (legal) continue;
    const std::string wanted =
        classes ? "a class in [0, " + std::to_string(outputs - 1) + "]" : "-1 or 1";
    file.fail("data.y[" + std::to_string(i) + "] must be " + wanted + ", got " + y[i].dump());
  }
  return classes ? values.to(at::kLong) : values;
}

Tensor read_targets(const JsonFile& file, const BinaryNetwork& network) {
  const Json& y = file.root()["data"]["y"];
  const int64_t N = network.x.size(0), outputs = network.layers.back().b.size(0);
  if (static_cast<int64_t>(y.size()) != N) {
    file.fail("data.y must have " + std::to_string(N) +
              " targets, as many as data.x has points, got " + std::to_string(y.size()));
  }
  const bool squared = network.loss == NetworkLoss::squared;
  for (const Json& target : y) {
    if (target.is_array() != squared || !(squared || target.is_number())) {
      file.fail(std::string("data.y must hold ") + (squared ? "vectors" : "numbers") +
                " for this loss, got " + target.dump());
    }
  }
  if (squared) return file.matrix(y, "data.y", N, outputs);
  if (network.loss == NetworkLoss::logistic && outputs != 1) {
    file.fail("loss logistic wants 1 output, got " + std::to_string(outputs));
  }
  return read_labels(file, y, network.loss == NetworkLoss::softmax_nll, outputs);
}

/// Numbers, or lists of them.
Json json_of(const Tensor& t) {
  if (t.dim() == 0) return t.is_floating_point() ? Json(t.item<double>()) : Json(t.item<int64_t>());
  Json all = Json::array();
  for (int64_t i = 0; i < t.size(0); ++i) all.push_back(json_of(t[i]));
  return all;
}

BinaryNetwork network_of(const JsonFile& file) {
  file.validate(Json::parse(kNetworkSchema), file.root(), "");
  const Json& root = file.root();
  BinaryNetwork network;
  network.name = file.where();
  network.coding = root["coding"] == "pm1" ? Coding::plus_minus_one : Coding::zero_one;
  network.loss = root["loss"] == "logistic"      ? NetworkLoss::logistic
                 : root["loss"] == "softmax_nll" ? NetworkLoss::softmax_nll
                                                 : NetworkLoss::squared;
  network.x = file.matrix(root["data"]["x"], "data.x");
  network.layers = read_layers(file, network.x.size(1));
  network.y = read_targets(file, network);
  return network;
}

}  // namespace

BinaryNetwork parse_network(std::string_view text, const std::string& where) {
  return network_of(JsonFile(text, where));
}

BinaryNetwork read_network(const std::string& path) {
  return network_of(JsonFile::read(path));
}

std::string to_json(const BinaryNetwork& network) {
  Json layers = Json::array();
  for (const auto& [W, b] : network.layers) {
    layers.push_back({{"W", json_of(W)}, {"b", json_of(b)}});
  }
  const NetworkLoss loss = network.loss;
  const Json root = {{"format", "gradthru-sbn"},
                     {"version", 1},
                     {"coding", network.coding == Coding::plus_minus_one ? "pm1" : "01"},
                     {"noise", "logistic"},
                     {"layers", layers},
                     {"data", {{"x", json_of(network.x)}, {"y", json_of(network.y)}}},
                     {"loss", loss == NetworkLoss::logistic      ? "logistic"
                              : loss == NetworkLoss::softmax_nll ? "softmax_nll"
                                                                 : "squared"}};
  return root.dump() + "\n";
}

Tensor flat(const NetworkLayer& layer) {
  return at::cat({layer.W.flatten(), layer.b});
}

std::string layer_name(size_t l, size_t layers) {
  return l + 1 == layers ? "head" : std::to_string(l + 1);
}

double paths(const BinaryNetwork& net) {
  int64_t units = 0;
  for (size_t l = 0; l < net.hidden_layers(); ++l) units += net.layers[l].b.size(0);
  return std::ldexp(static_cast<double>(net.x.size(0)), static_cast<int>(units));
}

BinaryNetwork recoded(const BinaryNetwork& network) {
  BinaryNetwork other = network;
  const bool to_zero_one = network.coding == Coding::plus_minus_one;
  other.coding = to_zero_one ? Coding::zero_one : Coding::plus_minus_one;
  for (size_t l = 1; l < network.layers.size(); ++l) {
    // x = 2 u - 1: W x + b = 2 W u + b - sum W; u = (x + 1) / 2: W u + b = W x / 2 + b + sum W / 2.
    const auto& [W, b] = network.layers[l];
    other.layers[l] =
        to_zero_one ? NetworkLayer{2 * W, b - W.sum(1)} : NetworkLayer{W / 2, b + W.sum(1) / 2};
  }
  return other;
}

}  // namespace gradthru::lab
