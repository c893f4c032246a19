#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <functional>

#include "reference/softmax.h"

// The flip gradient of path-sample-analytic (PSA) layers, term by term from its definition, in
// double. Units are on where their value is above 0.
namespace reference {

/// What flipping an input unit that is on (sign +1) or off (-1) changes in a unit's probability of
/// being on, for preactivation a: F(a) - F(a - kappa w sign), given x = kappa w sign.
using Difference = std::function<double(double a, double x)>;

inline double flip_difference(double a, double x) {
  // Both tails keep their digits: F(a) - F(b) = F(-b) - F(-a).
  return a > 0 ? sigmoid(x - a) - sigmoid(-a) : sigmoid(a) - sigmoid(a - x);
}

/// The same to first order in x: the straight-through estimator.
inline double linearised_difference(double a, double x) {
  return x * sigmoid_slope(a);
}

inline double sign_of(double value) {
  return value > 0 ? 1 : -1;
}

/// The flip gradient of the inputs and, as the scale of rounding errors, the sum of the absolute
/// terms.
struct FlipGradient {
  at::Tensor grad, magnitude;
};

/// A layer above: flip gradient, preactivation and value of its units, all of one shape.
struct Units {
  at::Tensor flip_grad, preactivation, state;

  Units to_double() const {
    const auto plain = [](const at::Tensor& t) { return t.to(at::kDouble).contiguous(); };
    return {plain(flip_grad), plain(preactivation), plain(state)};
  }
};

/// units [B, out], weight [out, in], input [B, in].
inline FlipGradient psa_linear(const Units& layer, const at::Tensor& weight,
                               const at::Tensor& input, double kappa,
                               const Difference& difference = flip_difference) {
  const Units units = layer.to_double();
  const at::Tensor w = weight.to(at::kDouble).contiguous();
  const at::Tensor values = input.to(at::kDouble).contiguous();
  FlipGradient result{at::zeros_like(values), at::zeros_like(values)};
  const auto d = units.flip_grad.accessor<double, 2>(),
             a = units.preactivation.accessor<double, 2>(), s = units.state.accessor<double, 2>(),
             W = w.accessor<double, 2>(), x = values.accessor<double, 2>();
  auto grad = result.grad.accessor<double, 2>(), magnitude = result.magnitude.accessor<double, 2>();
  for (int64_t b = 0; b < values.size(0); ++b) {
    for (int64_t i = 0; i < w.size(1); ++i) {
      for (int64_t j = 0; j < w.size(0); ++j) {
        const double term =
            sign_of(s[b][j]) * d[b][j] * difference(a[b][j], kappa * W[j][i] * sign_of(x[b][i]));
        grad[b][i] += term;
        magnitude[b][i] += std::abs(term);
      }
    }
  }
  return result;
}

struct Convolution {
  int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1};
  int64_t groups = 1;

  int64_t output_size(int axis, int64_t input, int64_t kernel) const {
    return (input + 2 * padding[axis] - dilation[axis] * (kernel - 1) - 1) / stride[axis] + 1;
  }
};

/// Calls visit(out channel, out row, out column, in channel, in row, in column, weight) for every
/// output and tap of a convolution that lies on a unit and not on the padding. weight [out, in /
/// groups, kernel rows, kernel columns].
template <class Visit>
void for_each_tap(const Convolution& conv, const at::Tensor& weight, int64_t height, int64_t width,
                  const Visit& visit) {
  const auto W = weight.accessor<double, 4>();
  const int64_t out_of_group = weight.size(0) / conv.groups, in_of_group = weight.size(1);
  const int64_t rows = weight.size(2), columns = weight.size(3);
  for (int64_t o = 0; o < weight.size(0); ++o) {
    const int64_t first_input = o / out_of_group * in_of_group;
    for (int64_t oy = 0; oy < conv.output_size(0, height, rows); ++oy) {
      for (int64_t ox = 0; ox < conv.output_size(1, width, columns); ++ox) {
        for (int64_t c = 0; c < in_of_group; ++c) {
          for (int64_t ky = 0; ky < rows; ++ky) {
            for (int64_t kx = 0; kx < columns; ++kx) {
              const int64_t y = oy * conv.stride[0] - conv.padding[0] + ky * conv.dilation[0];
              const int64_t x = ox * conv.stride[1] - conv.padding[1] + kx * conv.dilation[1];
              if (y < 0 || y >= height || x < 0 || x >= width) continue;
              visit(o, oy, ox, first_input + c, y, x, W[o][c][ky][kx]);
            }
          }
        }
      }
    }
  }
}

/// units [B, out, out rows, out columns], input [B, in, rows, columns].
inline FlipGradient psa_conv2d(const Units& layer, const at::Tensor& weight,
                               const at::Tensor& input, double kappa, const Convolution& conv,
                               const Difference& difference = flip_difference) {
  const Units units = layer.to_double();
  const at::Tensor w = weight.to(at::kDouble).contiguous();
  const at::Tensor values = input.to(at::kDouble).contiguous();
  FlipGradient result{at::zeros_like(values), at::zeros_like(values)};
  const auto d = units.flip_grad.accessor<double, 4>(),
             a = units.preactivation.accessor<double, 4>(), s = units.state.accessor<double, 4>(),
             in = values.accessor<double, 4>();
  auto grad = result.grad.accessor<double, 4>(), magnitude = result.magnitude.accessor<double, 4>();
  for (int64_t b = 0; b < values.size(0); ++b) {
    for_each_tap(
        conv, w, values.size(2), values.size(3),
        [&](int64_t o, int64_t oy, int64_t ox, int64_t c, int64_t y, int64_t x, double tap) {
          const double change = difference(a[b][o][oy][ox], kappa * tap * sign_of(in[b][c][y][x]));
          const double term = sign_of(s[b][o][oy][ox]) * d[b][o][oy][ox] * change;
          grad[b][c][y][x] += term;
          magnitude[b][c][y][x] += std::abs(term);
        });
  }
  return result;
}

/// The matrix [out * out rows * out columns, in * rows * columns] that a convolution is.
inline at::Tensor dense_matrix(const Convolution& conv, const at::Tensor& weight, int64_t height,
                               int64_t width) {
  const at::Tensor w = weight.to(at::kDouble).contiguous();
  const int64_t out_height = conv.output_size(0, height, w.size(2));
  const int64_t out_width = conv.output_size(1, width, w.size(3));
  const int64_t inputs = w.size(1) * conv.groups;
  at::Tensor matrix =
      at::zeros({w.size(0) * out_height * out_width, inputs * height * width}, at::kDouble);
  auto M = matrix.accessor<double, 2>();
  for_each_tap(conv, w, height, width,
               [&](int64_t o, int64_t oy, int64_t ox, int64_t c, int64_t y, int64_t x, double tap) {
                 M[(o * out_height + oy) * out_width + ox][(c * height + y) * width + x] += tap;
               });
  return matrix;
}

}  // namespace reference
