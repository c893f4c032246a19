#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gradthru/psa.h"
#include "reference/psa.h"
#include "support/random.h"

// What the tests of PSA layers share.
namespace support {

using gradthru::Coding;
using gradthru::PsaUnits;

inline const std::vector<Coding> kCodings = {Coding::plus_minus_one, Coding::zero_one};

inline double kappa_of(Coding coding) {
  return coding == Coding::plus_minus_one ? 2 : 1;
}

inline at::Tensor random_states(Random& random, at::IntArrayRef shape, Coding coding,
                                at::ScalarType dtype = at::kDouble) {
  const at::Tensor on = random.integers(shape, 0, 1).to(dtype);
  return coding == Coding::plus_minus_one ? 2 * on - 1 : on;
}

inline PsaUnits random_units(Random& random, at::IntArrayRef shape, Coding coding,
                             at::ScalarType dtype = at::kDouble) {
  return {random.normal(shape, 1, dtype), random.normal(shape, 2, dtype),
          random_states(random, shape, coding, dtype)};
}

inline reference::Units as_reference(const PsaUnits& units) {
  return {units.flip_grad, units.preactivation, units.state};
}

inline reference::Convolution as_reference(const gradthru::ConvOptions& options) {
  reference::Convolution conv;
  for (size_t axis = 0; axis < 2; ++axis) {
    conv.stride[axis] = options.stride[axis];
    conv.padding[axis] = options.padding[axis];
    conv.dilation[axis] = options.dilation[axis];
  }
  conv.groups = options.groups;
  return conv;
}

inline std::string name_of(Coding coding) {
  return coding == Coding::plus_minus_one ? "pm1" : "01";
}

/// A convolution of the grid: its tensors.
struct ConvCase {
  PsaUnits units;
  at::Tensor weight, input;
  gradthru::ConvOptions options;
  std::string what;
};

struct Layer {
  int64_t batch, in, out, height, width, kernel[2];
};

inline ConvCase conv_case(Random& random, const Layer& layer, const gradthru::ConvOptions& options,
                          Coding coding, at::ScalarType dtype = at::kDouble) {
  const reference::Convolution conv = as_reference(options);
  const int64_t height = conv.output_size(0, layer.height, layer.kernel[0]);
  const int64_t width = conv.output_size(1, layer.width, layer.kernel[1]);
  const auto pair = [](auto a, auto b) { return std::to_string(a) + "," + std::to_string(b); };
  return {random_units(random, {layer.batch, layer.out, height, width}, coding, dtype),
          random.normal({layer.out, layer.in / options.groups, layer.kernel[0], layer.kernel[1]},
                        0.7, dtype),
          random_states(random, {layer.batch, layer.in, layer.height, layer.width}, coding, dtype),
          options,
          pair(layer.in, layer.out) + " channels, kernel " +
              pair(layer.kernel[0], layer.kernel[1]) + " stride " +
              pair(options.stride[0], options.stride[1]) + " padding " +
              pair(options.padding[0], options.padding[1]) + " dilation " +
              pair(options.dilation[0], options.dilation[1]) + " groups " +
              std::to_string(options.groups) + " " + name_of(coding) + " " + c10::toString(dtype)};
}

/// What the header promises: relative to the sum of the absolute terms, and to that of the flip
/// gradients (`arriving`) that reach the input.
inline void expect_flip_gradient(const at::Tensor& actual, const reference::FlipGradient& expected,
                                 const at::Tensor& arriving, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.grad.sizes()) << what;
  const bool wide = actual.scalar_type() == at::kDouble;
  const at::Tensor limit =
      (wide ? 1e-14 : 2e-6) * expected.magnitude + (wide ? 1e-15 : 1e-11) * arriving;
  const at::Tensor error = (actual.to(at::kDouble) - expected.grad).abs();
  EXPECT_TRUE(error.le(limit).all().item<bool>())
      << what << ": error up to " << (error / (limit + 1e-300)).max().item<double>()
      << " times the bound";
}

inline void expect_linear(const PsaUnits& units, const at::Tensor& weight, const at::Tensor& input,
                          Coding coding, const std::string& what) {
  const auto reference_of = [&](const reference::Difference& difference) {
    return reference::psa_linear(as_reference(units), weight, input, kappa_of(coding), difference);
  };
  expect_flip_gradient(gradthru::psa_linear(units, weight, input, coding),
                       reference_of(reference::flip_difference),
                       reference_of([](double, double) { return 1.0; }).magnitude, what);
}

inline void expect_conv2d(const PsaUnits& units, const at::Tensor& weight, const at::Tensor& input,
                          Coding coding, const gradthru::ConvOptions& options,
                          const std::string& what) {
  const auto reference_of = [&](const reference::Difference& difference) {
    return reference::psa_conv2d(as_reference(units), weight, input, kappa_of(coding),
                                 as_reference(options), difference);
  };
  expect_flip_gradient(gradthru::psa_conv2d(units, weight, input, coding, options),
                       reference_of(reference::flip_difference),
                       reference_of([](double, double) { return 1.0; }).magnitude, what);
}

}  // namespace support
