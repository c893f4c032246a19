// CPU driver of the flip gradient of PSA layers. A linear layer is a convolution of one pixel.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <vector>

#include "cpu/psa_layer.h"

namespace gradthru::cpu {
namespace {

using at::IntArrayRef;
using at::Tensor;

/// Input pixels of a tile: enough to use what was read of the weights often, few enough for the
/// units above them to stay in the cache.
constexpr int64_t kTilePixels = 384;
constexpr int64_t kTilesPerThread = 4;

/// The operator checks its arguments in words; inference mode reaches this kernel without it.
void check_sizes(const PsaShape& shape, const Tensor& flip_grad, const Tensor& preactivation,
                 const Tensor& state, const Tensor& weight, const Tensor& input) {
  const std::vector<int64_t> above = {shape.batch, shape.out, shape.out_height, shape.out_width};
  bool fits = shape.groups >= 1 && shape.in_of_group() * shape.groups == shape.in &&
              shape.out_of_group() * shape.groups == shape.out &&
              weight.size(1) == shape.in_of_group();
  const int64_t in_size[] = {shape.height, shape.width};
  const int64_t out_size[] = {shape.out_height, shape.out_width};
  for (const int axis : {0, 1}) {
    fits = fits && shape.stride[axis] >= 1 && shape.padding[axis] >= 0 && shape.dilation[axis] >= 1;
    if (!fits) break;
    const int64_t room =
        in_size[axis] + 2 * shape.padding[axis] - shape.dilation[axis] * (shape.kernel[axis] - 1);
    fits = room >= 1 && out_size[axis] == (room - 1) / shape.stride[axis] + 1;
  }
  for (const Tensor* t : {&flip_grad, &preactivation, &state}) {
    fits = fits && t->sizes() == IntArrayRef(above);
  }
  for (const Tensor* t : {&flip_grad, &preactivation, &state, &weight}) {
    fits = fits && t->scalar_type() == input.scalar_type();
  }
  TORCH_CHECK_VALUE(fits, "psa_conv2d: shapes or dtypes do not fit");
}

/// The smallest number of rows or examples that makes a tile worth its while.
struct Tiling {
  int64_t rows, examples;

  explicit Tiling(const PsaShape& shape) {
    rows = std::clamp<int64_t>(kTilePixels / shape.width, 1, shape.height);
    examples =
        rows < shape.height ? 1 : std::max<int64_t>(1, kTilePixels / (shape.height * shape.width));
    const int64_t wanted = kTilesPerThread * at::get_num_threads();
    const int64_t strips = (shape.height + rows - 1) / rows;
    examples = std::clamp<int64_t>(shape.batch * strips / wanted, 1, examples);
  }
};

template <class T>
void flip_gradient(const PsaShape& shape, const PsaKernels<T>& kernels, const Tensor& d,
                   const Tensor& a, const Tensor& s, const Tensor& weight, const Tensor& input,
                   double kappa, Tensor& result) {
  const PsaWeights<T> weights(shape, weight, kappa, kernels);
  const auto images = [](const Tensor& t) { return PsaImages<const T>(t, t.const_data_ptr<T>()); };
  const typename PsaTile<T>::Tensors tensors{images(d), images(a), images(s), images(input),
                                             PsaImages<T>(result, result.mutable_data_ptr<T>())};
  const Tiling tiling(shape);
  std::vector<PsaStrip> strips;
  for (int64_t y = 0; y < shape.height; y += tiling.rows) {
    strips.emplace_back(shape, y, std::min(y + tiling.rows, shape.height));
  }
  const int64_t parts = (shape.batch + tiling.examples - 1) / tiling.examples;
  const auto strip_count = static_cast<int64_t>(strips.size());
  at::parallel_for(0, parts * strip_count, 1, [&](int64_t begin, int64_t end) {
    PsaTile<T> tile(shape, weights, kernels, tensors);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i / strip_count * tiling.examples;
      tile.run(strips[static_cast<size_t>(i % strip_count)], first,
               std::min(first + tiling.examples, shape.batch));
    }
  });
}

Tensor psa_conv2d(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                  const Tensor& weight, const Tensor& input, bool plus_minus_one,
                  IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups) {
  TORCH_CHECK_VALUE(input.dim() == 4 && weight.dim() == 4 && preactivation.dim() == 4 &&
                        stride.size() == 2 && padding.size() == 2 && dilation.size() == 2 &&
                        groups >= 1,
                    "psa_conv2d: shapes do not fit");
  const PsaShape shape{input.size(0),
                       input.size(1),
                       input.size(2),
                       input.size(3),
                       weight.size(0),
                       preactivation.size(2),
                       preactivation.size(3),
                       {weight.size(2), weight.size(3)},
                       {stride[0], stride[1]},
                       {padding[0], padding[1]},
                       {dilation[0], dilation[1]},
                       groups};
  check_sizes(shape, flip_grad, preactivation, state, weight, input);
  Tensor result = at::empty_like(input, input.options(), input.suggest_memory_format());
  if (result.numel() == 0) return result;
  if (shape.out == 0) return result.zero_();
  const double kappa = plus_minus_one ? 2 : 1;
  if (input.scalar_type() == at::kFloat) {
    flip_gradient(shape, psa_kernels().of_float, flip_grad, preactivation, state, weight, input,
                  kappa, result);
  } else {
    flip_gradient(shape, psa_kernels().of_double, flip_grad, preactivation, state, weight, input,
                  kappa, result);
  }
  return result;
}

Tensor psa_linear(const Tensor& flip_grad, const Tensor& preactivation, const Tensor& state,
                  const Tensor& weight, const Tensor& input, bool plus_minus_one) {
  TORCH_CHECK_VALUE(weight.dim() == 2 && preactivation.dim() >= 1, "psa_linear: shapes do not fit");
  const int64_t out = weight.size(0), in = weight.size(1);
  const int64_t batch =
      c10::multiply_integers(preactivation.sizes().begin(), preactivation.sizes().end() - 1);
  const auto as_images = [&](const Tensor& t, int64_t channels) {
    TORCH_CHECK_VALUE(t.numel() == batch * channels, "psa_linear: shapes do not fit");
    return t.reshape({batch, channels, 1, 1});
  };
  return psa_conv2d(as_images(flip_grad, out), as_images(preactivation, out), as_images(state, out),
                    weight.reshape({out, in, 1, 1}), as_images(input, in), plus_minus_one, {1, 1},
                    {0, 0}, {1, 1}, 1)
      .reshape(input.sizes());
}

TORCH_LIBRARY_IMPL(gradthru, CPU, m) {
  m.impl("psa_linear", &psa_linear);
  m.impl("psa_conv2d", &psa_conv2d);
}

}  // namespace
}  // namespace gradthru::cpu
