#include "experiments/image_grid.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace gradthru::experiments {

train::Picture image_grid(const at::Tensor& images, int64_t columns) {
  const int64_t n = images.size(0);
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(images.size(1))));
  if (n < 1 || columns < 1 || side * side != images.size(1)) {
    throw InvalidInput("image_grid: wanted square images in rows, got " +
                       std::to_string(images.size(1)) + " pixels");
  }
  const at::Tensor bytes = (images.detach().clamp(0, 1) * 255).round().to(at::kByte).contiguous();
  const uint8_t* from = bytes.const_data_ptr<uint8_t>();
  constexpr uint8_t kBetween = 128;
  const int64_t rows = (n + columns - 1) / columns;
  train::Picture all{columns * (side + 1) - 1, rows * (side + 1) - 1, {}};
  all.grey.assign(static_cast<size_t>(all.width * all.height), kBetween);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t top = i / columns * (side + 1), left = i % columns * (side + 1);
    for (int64_t y = 0; y < side; ++y) {
      std::copy_n(from + (i * side + y) * side, side,
                  all.grey.begin() + (top + y) * all.width + left);
    }
  }
  return all;
}

std::vector<train::Figure> autoencoder_figures(const at::Tensor& images,
                                               const at::Tensor& reconstructions,
                                               const at::Tensor& samples) {
  constexpr int64_t kColumns = 12;
  std::vector<train::Figure> figures = {
      {"reconstructions.png", "Test images, and below each its reconstruction from one sample.",
       image_grid(at::cat({images, reconstructions}), images.size(0))}};
  if (samples.defined()) {
    figures.push_back({"samples.png", "Images decoded from codes drawn from the prior.",
                       image_grid(samples, kColumns)});
  }
  return figures;
}

}  // namespace gradthru::experiments
