// What the vector kernels of PSA layers work on: weights, units and taps, packed for them.
#include "cpu/psa_layer.h"

#include <ATen/Parallel.h>

#include <limits>

namespace gradthru::cpu {
namespace {

/// Weights of an input that are worked on in one go, so that those of a block stay in the nearest
/// cache along with the units that they meet.
constexpr int64_t kChunkWeights = 864;

/// Blocks of inputs whose weights are read together: a cache line holds as many.
constexpr int64_t kBlocksTogether = 4;

int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

/// Turns rows x columns into columns x rows; eight rows at a time, so that whole pieces are stored.
template <class T>
void turn(const T* from, int64_t rows, int64_t row_stride, int64_t columns, T* to) {
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    for (int64_t k = 0; k < columns; ++k) {
      T piece[8];
      for (int i = 0; i < 8; ++i) piece[i] = from[(r + i) * row_stride + k];
      std::copy_n(piece, 8, to + k * rows + r);
    }
  }
  for (; r < rows; ++r) {
    for (int64_t k = 0; k < columns; ++k) to[k * rows + r] = from[r * row_stride + k];
  }
}

/// The outputs that an input coordinate reaches along one axis, and through which taps.
std::vector<std::pair<int64_t, int64_t>> reached(const PsaShape& shape, int axis, int64_t place) {
  const int64_t outputs = axis == 0 ? shape.out_height : shape.out_width;
  std::vector<std::pair<int64_t, int64_t>> result;
  for (int64_t k = 0; k < shape.kernel[axis]; ++k) {
    const int64_t start = place + shape.padding[axis] - k * shape.dilation[axis];
    if (start < 0 || start % shape.stride[axis] != 0) continue;
    if (start / shape.stride[axis] < outputs) result.emplace_back(k, start / shape.stride[axis]);
  }
  return result;
}

}  // namespace

template <class T>
PsaWeights<T>::PsaWeights(const PsaShape& shape, const at::Tensor& weight, double kappa,
                          const PsaKernels<T>& kernels)
    : taps_(shape.taps()),
      in_(shape.in_of_group()),
      out_(shape.out_of_group()),
      channels_(round_up(shape.out_of_group(), kernels.width)),
      whole_(in_ / kPsaInputs),
      blocks_(whole_ + in_ % kPsaInputs) {
  const int64_t triple = 3 * kernels.width;
  // Chunks of one size, as near to kChunkWeights as whole triples allow.
  const int64_t wanted = std::max<int64_t>(1, (out_ * taps_ + kChunkWeights / 2) / kChunkWeights);
  const int64_t most = round_up((out_ + wanted - 1) / wanted, triple);
  for (int64_t first = 0; first < out_; first += most) {
    const int64_t count = std::min(most, out_ - first);
    chunks_.push_back({first, count, round_up(count, kernels.width)});
  }
  const auto chunks = static_cast<int64_t>(chunks_.size());
  size_ = shape.groups * in_ * taps_ * 2 * channels_;
  tables_.reset(new T[static_cast<size_t>(size_)]);
  levels_.resize(static_cast<size_t>(shape.groups * chunks * blocks_ * taps_));
  const at::Tensor dense = weight.contiguous();
  const T* source = dense.const_data_ptr<T>();
  const int64_t parts = (blocks_ + kBlocksTogether - 1) / kBlocksTogether;
  at::parallel_for(0, shape.groups * chunks * parts, 2, [&](int64_t begin, int64_t end) {
    std::vector<T> turned(
        static_cast<size_t>(kBlocksTogether * kPsaInputs * taps_ * std::min(most, out_)));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = i % parts * kBlocksTogether;
      fill(source, i / parts / chunks, static_cast<size_t>(i / parts % chunks), block,
           std::min(block + kBlocksTogether, blocks_), kappa, kernels, turned.data());
    }
  });
}

/// Turns [out, in, taps] into [in, taps, out] for some of out and in, and packs it.
template <class T>
void PsaWeights<T>::fill(const T* weight, int64_t group, size_t chunk, int64_t first_block,
                         int64_t last_block, double kappa, const PsaKernels<T>& kernels,
                         T* turned) {
  const Chunk& c = chunks_[chunk];
  const int64_t first = first_input(first_block);
  const int64_t count = first_input(last_block - 1) + inputs(last_block - 1) - first;
  const T* source = weight + ((group * out_ + c.first) * in_ + first) * taps_;
  turn(source, c.count, in_ * taps_, count * taps_, turned);
  for (int64_t block = first_block; block < last_block; ++block) {
    T* out = tables_.get() + (table(group, chunk, block) - tables_.get());
    PsaLevel* level = levels_.data() + (levels(group, chunk, block) - levels_.data());
    for (int64_t tap = 0; tap < taps_; ++tap) {
      const T* of_input[kPsaInputs];
      for (int i = 0; i < inputs(block); ++i) {
        of_input[i] = turned + ((first_input(block) + i - first) * taps_ + tap) * c.count;
      }
      level[tap] = kernels.weights(of_input, inputs(block), c.count, c.rows, kappa,
                                   out + tap * 2 * inputs(block) * c.rows);
    }
  }
}

PsaStrip::PsaStrip(const PsaShape& shape, int64_t first, int64_t last)
    : first_row(first), last_row(last) {
  first_out = shape.out_height;
  for (int64_t y = first; y < last; ++y) {
    for (const auto& [tap, out] : reached(shape, 0, y)) {
      first_out = std::min(first_out, out);
      last_out = std::max(last_out, out + 1);
    }
  }
  first_out = std::min(first_out, last_out);
  std::vector<std::vector<std::pair<int64_t, int64_t>>> of_column;
  for (int64_t x = 0; x < shape.width; ++x) of_column.push_back(reached(shape, 1, x));
  for (int64_t y = first; y < last; ++y) {
    const auto rows = reached(shape, 0, y);
    for (const auto& columns : of_column) {
      first_tap.push_back(static_cast<int32_t>(taps.size()));
      for (const auto& [row_tap, out_row] : rows) {
        for (const auto& [column_tap, out_column] : columns) {
          const int64_t output = (out_row - first_out) * shape.out_width + out_column;
          taps.push_back({static_cast<int32_t>(row_tap * shape.kernel[1] + column_tap),
                          static_cast<int32_t>(output)});
        }
      }
    }
  }
  first_tap.push_back(static_cast<int32_t>(taps.size()));
}

template <class T>
void PsaTile<T>::read_units(const PsaStrip& strip, int64_t first_example, int64_t last_example) {
  const int64_t out = shape_.out_of_group(), channels = weights_.channels();
  const int64_t pixel = shape_.groups * channels;  // units of a pixel, padding included
  const int64_t rows = strip.last_out - strip.first_out;
  const int64_t pixels = (last_example - first_example) * rows * shape_.out_width;
  row_a_.assign(static_cast<size_t>(shape_.out_width * pixel), 0);
  row_h_.assign(row_a_.size(), 0);
  units_.resize(static_cast<size_t>(pixels * pixel * 2));
  split_units_.resize(split_ ? units_.size() : 0);
  any_units_.resize(extreme_ ? static_cast<size_t>(pixels * pixel * 3) : 0);
  // The place of a channel among the units of a pixel.
  const auto place = [&](int64_t o) { return channels == out ? o : o / out * channels + o % out; };
  const auto& [d, a, s, input, result] = tensors_;
  T* units = units_.data();
  T* split = split_ ? split_units_.data() : nullptr;
  T* any = extreme_ ? any_units_.data() : nullptr;
  for (int64_t b = first_example; b < last_example; ++b) {
    for (int64_t y = strip.first_out; y < strip.last_out; ++y) {
      a.for_each(a.row(b, y), shape_.out, shape_.out_width, [&](int64_t o, int64_t x, T value) {
        row_a_[static_cast<size_t>(x * pixel + place(o))] = value;
      });
      d.for_each(d.row(b, y), shape_.out, shape_.out_width, [&](int64_t o, int64_t x, T value) {
        row_h_[static_cast<size_t>(x * pixel + place(o))] = value;
      });
      s.for_each(s.row(b, y), shape_.out, shape_.out_width, [&](int64_t o, int64_t x, T value) {
        T& h = row_h_[static_cast<size_t>(x * pixel + place(o))];
        h = value > 0 ? h : -h;
      });
      for (int64_t i = 0; i < shape_.out_width * shape_.groups; ++i) {
        kernels_.units(row_a_.data() + i * channels, row_h_.data() + i * channels, channels, units,
                       split, any);
        units += 2 * channels;
        if (split != nullptr) split += 2 * channels;
        if (any != nullptr) any += 3 * channels;
      }
    }
  }
}

template <class T>
void PsaTile<T>::read_inputs(const PsaStrip& strip, int64_t first_example, int64_t last_example) {
  const int64_t row = shape_.width * shape_.in;
  const int64_t rows = (last_example - first_example) * (strip.last_row - strip.first_row);
  off_.resize(static_cast<size_t>(rows * row));
  grad_.assign(off_.size(), 0);
  uint8_t* off = off_.data();
  const auto& input = tensors_.input;
  for (int64_t b = first_example; b < last_example; ++b) {
    for (int64_t y = strip.first_row; y < strip.last_row; ++y) {
      input.for_each(input.row(b, y), shape_.in, shape_.width, [&](int64_t c, int64_t x, T value) {
        off[x * shape_.in + c] = value > 0 ? 0 : 1;
      });
      off += row;
    }
  }
}

template <class T>
void PsaTile<T>::write(const PsaStrip& strip, int64_t first_example, int64_t last_example) const {
  const T* grad = grad_.data();
  const auto& result = tensors_.result;
  for (int64_t b = first_example; b < last_example; ++b) {
    for (int64_t y = strip.first_row; y < strip.last_row; ++y) {
      result.for_each(result.row(b, y), shape_.in, shape_.width,
                      [&](int64_t c, int64_t x, T& out) { out = grad[x * shape_.in + c]; });
      grad += shape_.width * shape_.in;
    }
  }
}

template <class T>
void PsaTile<T>::run(const PsaStrip& strip, int64_t first_example, int64_t last_example) {
  read_units(strip, first_example, last_example);
  read_inputs(strip, first_example, last_example);
  const int64_t channels = weights_.channels();
  PsaBlock<T> b{};
  b.unit_stride = 2 * channels * shape_.groups;
  b.any_stride = 3 * channels * shape_.groups;
  b.channels = channels;
  b.outputs = (strip.last_out - strip.first_out) * shape_.out_width;
  b.taps = strip.taps.data();
  b.first_tap = strip.first_tap.data();
  b.pixels = (strip.last_row - strip.first_row) * shape_.width;
  b.examples = last_example - first_example;
  b.input_stride = shape_.in;
  for (int64_t group = 0; group < shape_.groups; ++group) {
    for (size_t chunk = 0; chunk < weights_.chunks().size(); ++chunk) {
      const auto& c = weights_.chunks()[chunk];
      b.rows = c.rows;
      const int64_t first = 2 * (group * channels + c.first);
      b.units = units_.data() + first;
      b.split_units = split_ ? split_units_.data() + first : nullptr;
      b.any_units = extreme_ ? any_units_.data() + group * 3 * channels + c.first : nullptr;
      for (int64_t block = 0; block < weights_.blocks(); ++block) {
        b.weights = weights_.table(group, chunk, block);
        b.level = weights_.levels(group, chunk, block);
        const int64_t size = shape_.taps() * 2 * weights_.inputs(block) * c.rows;
        b.next_weights = b.weights + size;  // tables stand in the order of these loops
        b.next_size = std::min(size, weights_.end() - b.next_weights);
        b.any_extreme = std::count(b.level, b.level + shape_.taps(), kPsaExtreme) > 0;
        const int64_t input = group * shape_.in_of_group() + weights_.first_input(block);
        b.off = off_.data() + input;
        b.grad = grad_.data() + input;
        weights_.inputs(block) == 1 ? kernels_.one(b) : kernels_.four(b);
      }
    }
  }
  write(strip, first_example, last_example);
}

template class PsaWeights<float>;
template class PsaWeights<double>;
template class PsaTile<float>;
template class PsaTile<double>;

}  // namespace gradthru::cpu
