#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/nn/network_loss.h"

namespace gradthru::lab {

/// At most so many units in a hidden layer, whose states are all looked at.
inline constexpr int64_t kMostUnits = 12;

/// A linear map: W [out, in], b [out].
struct NetworkLayer {
  at::Tensor W, b;
};

using nn::NetworkLoss;

/// A network of stochastic binary layers, small enough to be enumerated, with data and a loss: unit
/// j of a layer is on with probability sigmoid(W x + b)_j, x the values of the layer below or the
/// input. The objective is the mean over the data of E loss. float64.
struct BinaryNetwork {
  std::string name;
  Coding coding = Coding::plus_minus_one;
  std::vector<NetworkLayer> layers;  ///< from the input up; the last one is the linear head
  at::Tensor x;                      ///< [N, inputs]
  at::Tensor y;                      ///< [N]: -1 or 1, or int64 classes; [N, outputs]
  NetworkLoss loss = NetworkLoss::logistic;

  size_t hidden_layers() const { return layers.size() - 1; }

  /// The loss of outputs eta [.., N, outputs] at the targets: [.., N].
  at::Tensor loss_of(const at::Tensor& eta) const { return nn::loss_of(loss, eta, y); }
};

/// Weights and bias in one vector.
at::Tensor flat(const NetworkLayer& layer);

/// "1", "2" .. "head": what layer l of so many is called.
std::string layer_name(size_t l, size_t layers);

/// How many paths there are for all points: 2^units for each.
double paths(const BinaryNetwork& network);

/// Reads a network from a JSON text of the format gradthru-sbn (docs/network.schema.json), or from
/// the file at `path`.
/// Errors: InvalidInput that names the place in the file, what was given and what is wanted.
BinaryNetwork parse_network(std::string_view text, const std::string& where);
BinaryNetwork read_network(const std::string& path);

/// The text of such a file; every number reads back as it is.
std::string to_json(const BinaryNetwork& network);

/// The same network in the other coding: its first layer stays, the others see 0 and 1 for -1 and 1
/// or the reverse.
BinaryNetwork recoded(const BinaryNetwork& network);

}  // namespace gradthru::lab
