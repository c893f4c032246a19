#pragma once

#include <cstdint>

// The joint between the driver of PSA layers and their vector kernels, compiled once per
// instruction set. Output channels lie along the lanes, padded to whole vectors.
namespace gradthru::cpu {

/// Inputs that share what is loaded of the units above.
inline constexpr int kPsaInputs = 4;

/// How the terms of a tap are computed: by its largest |kappa w| (src/math/psa.h).
enum PsaLevel : uint8_t {
  kPsaRational,  ///< weights stand as c and -c
  kPsaSplit,     ///< as -g and g, with the sign of w
  kPsaExtreme,   ///< as x and factor
};

/// A weight that connects an input pixel to an output pixel.
struct PsaTap {
  int32_t weight;  ///< the tap
  int32_t output;  ///< the output pixel, counted within one example of a tile
};

/// The flip gradient of `inputs` channels in every pixel of a tile, from some of the output
/// channels above them: added to `grad`.
template <class T>
struct PsaBlock {
  const T* units;        ///< [example][output pixel][unit_stride]: t and minus_q, vector by vector
  const T* split_units;  ///< likewise minus_up and down; null if no tap of the layer needs them
  const T* any_units;    ///< [example][output pixel][any_stride]: a, up, down; or null
  int64_t unit_stride, any_stride;
  int64_t channels;       ///< between the parts of any_units
  int64_t outputs;        ///< output pixels of an example
  const T* weights;       ///< [tap][input][on, off][rows]
  const PsaLevel* level;  ///< of each tap
  bool any_extreme;
  const T* next_weights;  ///< what will be worked on next: fetched into the cache meanwhile
  int64_t next_size;
  int64_t rows;        ///< output channels: whole vectors
  const PsaTap* taps;  ///< of pixel p: first_tap[p] to first_tap[p + 1]
  const int32_t* first_tap;
  int64_t pixels, examples;
  const uint8_t* off;  ///< [example][pixel][input_stride]: 1 where the input unit is off
  T* grad;             ///< likewise
  int64_t input_stride;
};

template <class T>
struct PsaKernels {
  int64_t width;  ///< channels of a vector
  /// A row of n units, whole vectors, from a and h = s d; `split` and `any` may be null.
  void (*units)(const T* a, const T* h, int64_t n, T* units, T* split, T* any);
  /// The weights of one tap and `inputs` inputs: of each input `count` numbers, filled up to
  /// `rows`.
  PsaLevel (*weights)(const T* const* of_input, int inputs, int64_t count, int64_t rows,
                      double kappa, T* out);
  void (*four)(const PsaBlock<T>&);  ///< kPsaInputs inputs
  void (*one)(const PsaBlock<T>&);   ///< a single one
};

struct PsaTable {
  const char* name;
  PsaKernels<float> of_float;
  PsaKernels<double> of_double;
};

/// Of the instruction set that kernels() chose.
const PsaTable& psa_kernels();

}  // namespace gradthru::cpu
