#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradthru/nn/binary_sequential.h"

namespace gradthru::experiments {

/// What a network of the experiment looks like.
struct SbnShape {
  std::string net = "fc";                    ///< fc, or cifar_s1
  std::vector<int64_t> hidden = {200, 200};  ///< of fc: units of each layer
  double width = 1;                          ///< of cifar_s1: multiplies its 96 and 192 channels
  int64_t channels = 1, side = 28;           ///< of the images that it sees
  int64_t classes = 10;
};

/// The network with PyTorch's default initialisation, from the default generator: ±1 units, a
/// linear head, softmax.
///
/// fc: images in one row. cifar_s1: eight convolutions without padding, 3x3 but the last, for
/// images of 32x32: c->96, 96->96, 96->96 /2, 96->192, 192->192, 192->192 /2, 192->192, 1x1.
/// Errors: InvalidInput for a width that does not give whole channels.
nn::StochasticBinarySequential make_network(const SbnShape& shape);

/// Images [B, C, H, W] in [0, 1] as the network sees them: fc in one row in [-1, 1].
at::Tensor network_input(const SbnShape& shape, const at::Tensor& images);

/// How many channels 96 and 192 become. Errors: InvalidInput.
std::pair<int64_t, int64_t> channels_at(double width);

}  // namespace gradthru::experiments
