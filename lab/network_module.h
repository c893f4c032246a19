#pragma once

#include "gradthru/nn/binary_sequential.h"
#include "lab/network.h"

namespace gradthru::lab {

/// The network as a module with the same weights, float64.
nn::StochasticBinarySequential module_of(const BinaryNetwork& network);

/// The weights and biases of a module of linear layers, or their gradients, as layers of a network.
std::vector<NetworkLayer> layers_of(const nn::StochasticBinarySequentialImpl& module);
/// Copies of the weights and biases, without gradient.
std::vector<NetworkLayer> detached_layers_of(const nn::StochasticBinarySequentialImpl& module);
std::vector<NetworkLayer> gradients_of(const nn::StochasticBinarySequentialImpl& module);

}  // namespace gradthru::lab
