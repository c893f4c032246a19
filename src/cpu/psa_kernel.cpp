// CPU driver of the flip gradient of PSA layers. A linear layer is a convolution of one pixel.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <vector>

#include "math/psa.h"

namespace gradthru::cpu {
namespace {

using at::IntArrayRef;
using at::Tensor;

template <class T>
void flip_gradient(const Tensor& d, const Tensor& a, const Tensor& s, const Tensor& weight,
                   const Tensor& input, double kappa, IntArrayRef stride, IntArrayRef padding,
                   IntArrayRef dilation, int64_t groups, Tensor& result) {
  const auto D = d.accessor<T, 4>(), A = a.accessor<T, 4>(), S = s.accessor<T, 4>(),
             W = weight.accessor<T, 4>(), X = input.accessor<T, 4>();
  auto out = result.accessor<T, 4>();
  const int64_t co = weight.size(0) / groups, ci = weight.size(1);
  at::parallel_for(0, input.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t o = 0; o < weight.size(0); ++o) {
        for (int64_t oy = 0; oy < a.size(2); ++oy) {
          for (int64_t ox = 0; ox < a.size(3); ++ox) {
            const T h = S[b][o][oy][ox] > 0 ? D[b][o][oy][ox] : -D[b][o][oy][ox];
            for (int64_t ky = 0; ky < weight.size(2); ++ky) {
              const int64_t y = oy * stride[0] - padding[0] + ky * dilation[0];
              if (y < 0 || y >= input.size(2)) continue;
              for (int64_t kx = 0; kx < weight.size(3); ++kx) {
                const int64_t x = ox * stride[1] - padding[1] + kx * dilation[1];
                if (x < 0 || x >= input.size(3)) continue;
                for (int64_t c = 0; c < ci; ++c) {
                  const int64_t i = o / co * ci + c;
                  const T change = static_cast<T>(kappa) * W[o][c][ky][kx];
                  out[b][i][y][x] += h * math::flip_difference(
                                             A[b][o][oy][ox], X[b][i][y][x] > 0 ? change : -change);
                }
              }
            }
          }
        }
      }
    }
  });
}

Tensor psa_conv2d(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                  const Tensor& weight, const Tensor& input, bool plus_minus_one,
                  IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups) {
  Tensor result = at::zeros_like(input);
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "gradthru::psa_conv2d", [&] {
    flip_gradient<scalar_t>(flip_grad, preactivation, state, weight, input, plus_minus_one ? 2 : 1,
                            stride, padding, dilation, groups, result);
  });
  return result;
}

Tensor psa_linear(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                  const Tensor& weight, const Tensor& input, bool plus_minus_one) {
  const auto as_image = [](const Tensor& t, int64_t channels) {
    return t.reshape({channels == 0 ? 0 : t.numel() / channels, channels, 1, 1});
  };
  const int64_t out = weight.size(0), in = weight.size(1);
  return psa_conv2d(as_image(flip_grad, out), as_image(preactivation, out), as_image(state, out),
                    weight.reshape({out, in, 1, 1}), as_image(input, in), plus_minus_one, {1, 1},
                    {0, 0}, {1, 1}, 1)
      .reshape(input.sizes());
}

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
  m.impl("psa_linear", &psa_linear);
  m.impl("psa_conv2d", &psa_conv2d);
}

}  // namespace
}  // namespace gradthru::cpu
