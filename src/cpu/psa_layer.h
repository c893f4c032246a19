#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/simd/psa_kernels.h"

namespace gradthru::cpu {

/// The sizes of a convolution whose inputs and outputs are binary units.
struct PsaShape {
  int64_t batch, in, height, width;    // of the input
  int64_t out, out_height, out_width;  // of the layer above
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  int64_t groups;

  int64_t taps() const { return kernel[0] * kernel[1]; }
  int64_t in_of_group() const { return in / groups; }
  int64_t out_of_group() const { return out / groups; }
};

/// A tensor [batch, channels, rows, columns] of any strides.
template <class T>
struct PsaImages {
  T* data;
  int64_t strides[4];

  template <class Pointer>
  PsaImages(const at::Tensor& t, Pointer pointer) : data(pointer) {
    std::copy_n(t.strides().begin(), 4, strides);
  }

  T* row(int64_t b, int64_t y) const { return data + b * strides[0] + y * strides[2]; }

  /// Calls visit(channel, column, element) for the elements of a row.
  template <class Visit>
  void for_each(T* row, int64_t channels, int64_t columns, const Visit& visit) const {
    if (strides[1] == 1) {  // said on its own, for vectors of it
      for (int64_t x = 0; x < columns; ++x) {
        for (int64_t c = 0; c < channels; ++c) visit(c, x, row[c + x * strides[3]]);
      }
      return;
    }
    // Some channels at a time: whoever visits keeps the channels of a pixel together.
    constexpr int64_t kTogether = 8;
    int64_t first = 0;
    for (; first + kTogether <= channels; first += kTogether) {
      T* place = row + first * strides[1];
      for (int64_t x = 0; x < columns; ++x, place += strides[3]) {
        for (int64_t c = 0; c < kTogether; ++c) visit(first + c, x, place[c * strides[1]]);
      }
    }
    for (int64_t c = first; c < channels; ++c) {
      for (int64_t x = 0; x < columns; ++x) visit(c, x, row[c * strides[1] + x * strides[3]]);
    }
  }
};

/// The weights of a layer as the kernels read them: for each group, chunk of output channels and
/// block of inputs a table of all taps.
template <class T>
class PsaWeights {
 public:
  /// Weights [out, in / groups, rows, columns].
  PsaWeights(const PsaShape& shape, const at::Tensor& weight, double kappa,
             const PsaKernels<T>& kernels);

  struct Chunk {
    int64_t first, count, rows;  // output channels of a group; rows with those that fill vectors
  };
  const std::vector<Chunk>& chunks() const { return chunks_; }
  int64_t channels() const { return channels_; }  // of a group, with those that fill vectors
  bool any(PsaLevel level) const {
    return std::find(levels_.begin(), levels_.end(), level) != levels_.end();
  }

  /// Blocks of kPsaInputs inputs, then single ones.
  int64_t blocks() const { return blocks_; }
  int64_t first_input(int64_t block) const {
    return block < whole_ ? block * kPsaInputs : whole_ * kPsaInputs + block - whole_;
  }
  int inputs(int64_t block) const { return block < whole_ ? kPsaInputs : 1; }

  const T* table(int64_t group, size_t chunk, int64_t block) const {
    return tables_.get() + taps_ * 2 *
                               ((group * in_ * channels_) + in_ * chunks_[chunk].first +
                                first_input(block) * chunks_[chunk].rows);
  }
  const T* end() const { return tables_.get() + size_; }
  const PsaLevel* levels(int64_t group, size_t chunk, int64_t block) const {
    const auto chunks = static_cast<int64_t>(chunks_.size());
    return levels_.data() +
           ((group * chunks + static_cast<int64_t>(chunk)) * blocks_ + block) * taps_;
  }

 private:
  void fill(const T* weight, int64_t group, size_t chunk, int64_t first_block, int64_t last_block,
            double kappa, const PsaKernels<T>& kernels, T* turned);

  int64_t taps_, in_, out_, channels_, whole_, blocks_;
  std::vector<Chunk> chunks_;
  int64_t size_;
  std::unique_ptr<T[]> tables_;
  std::vector<PsaLevel> levels_;
};

/// Some rows of input pixels: which taps connect them to which outputs.
class PsaStrip {
 public:
  PsaStrip(const PsaShape& shape, int64_t first_row, int64_t last_row);

  int64_t first_row, last_row;          // of the input
  int64_t first_out = 0, last_out = 0;  // rows of the outputs that look at them
  std::vector<PsaTap> taps;
  std::vector<int32_t> first_tap;
};

/// The flip gradient of the inputs of some examples in a strip.
template <class T>
class PsaTile {
 public:
  struct Tensors {
    PsaImages<const T> flip_grad, preactivation, state, input;
    PsaImages<T> result;
  };

  PsaTile(const PsaShape& shape, const PsaWeights<T>& weights, const PsaKernels<T>& kernels,
          const Tensors& tensors)
      : shape_(shape),
        weights_(weights),
        kernels_(kernels),
        tensors_(tensors),
        split_(weights.any(kPsaSplit)),
        extreme_(weights.any(kPsaExtreme)) {}

  void run(const PsaStrip& strip, int64_t first_example, int64_t last_example);

 private:
  void read_units(const PsaStrip& strip, int64_t first_example, int64_t last_example);
  void read_inputs(const PsaStrip& strip, int64_t first_example, int64_t last_example);
  void write(const PsaStrip& strip, int64_t first_example, int64_t last_example) const;

  const PsaShape& shape_;
  const PsaWeights<T>& weights_;
  const PsaKernels<T>& kernels_;
  const Tensors& tensors_;
  const bool split_, extreme_;  // whether any tap is
  std::vector<T> row_a_, row_h_, units_, split_units_, any_units_, grad_;
  std::vector<uint8_t> off_;
};

}  // namespace gradthru::cpu
