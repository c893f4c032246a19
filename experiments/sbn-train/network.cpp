#include "experiments/sbn-train/network.h"

#include <ATen/TensorOperators.h>

#include <array>
#include <cmath>
#include <sstream>
#include <utility>

#include "gradthru/error.h"
#include "gradthru/nn/binary_conv2d.h"
#include "gradthru/nn/binary_linear.h"

namespace gradthru::experiments {
namespace {

using nn::StochasticBinaryConv2d;
using nn::StochasticBinaryLinear;
using nn::StochasticBinarySequential;
using Layers = nn::StochasticBinarySequentialImpl::Layers;

struct Convolution {
  int64_t in, out, kernel, stride;
};

StochasticBinarySequential convolutional(const SbnShape& shape) {
  const auto [narrow, wide] = channels_at(shape.width);
  const std::array<Convolution, 8> plan = {{{shape.channels, narrow, 3, 1},
                                            {narrow, narrow, 3, 1},
                                            {narrow, narrow, 3, 2},
                                            {narrow, wide, 3, 1},
                                            {wide, wide, 3, 1},
                                            {wide, wide, 3, 2},
                                            {wide, wide, 3, 1},
                                            {wide, wide, 1, 1}}};
  Layers layers;
  int64_t side = shape.side;
  for (const auto& [in, out, kernel, stride] : plan) {
    layers.push_back(StochasticBinaryConv2d(in, out, std::array{kernel, kernel},
                                            ConvOptions{.stride = {stride, stride}})
                         .ptr());
    side = (side - kernel) / stride + 1;
  }
  return StochasticBinarySequential(std::move(layers), shape.classes, nn::NetworkLoss::softmax_nll,
                                    wide * side * side);
}

StochasticBinarySequential fully_connected(const SbnShape& shape) {
  Layers layers;
  int64_t below = shape.channels * shape.side * shape.side;
  for (const int64_t units : shape.hidden) {
    layers.push_back(StochasticBinaryLinear(below, units).ptr());
    below = units;
  }
  return StochasticBinarySequential(std::move(layers), shape.classes);
}

}  // namespace

std::pair<int64_t, int64_t> channels_at(double width) {
  const double narrow = 96 * width;
  if (width <= 16 && std::round(narrow) == narrow && narrow >= 1) {
    return {static_cast<int64_t>(narrow), 2 * static_cast<int64_t>(narrow)};
  }
  std::ostringstream text;
  text << "width must give a whole number of 96 x width channels, at most 1536, got " << width;
  throw InvalidInput(text.str());
}

StochasticBinarySequential make_network(const SbnShape& shape) {
  return shape.net == "fc" ? fully_connected(shape) : convolutional(shape);
}

at::Tensor network_input(const SbnShape& shape, const at::Tensor& images) {
  return shape.net == "fc" ? images.flatten(1) * 2 - 1 : images;
}

}  // namespace gradthru::experiments
