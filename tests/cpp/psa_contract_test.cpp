#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/psa.h"
#include "support/threads.h"

// What the operators of PSA layers promise besides their values: bits, shapes, refusals.
namespace {

using gradthru::ConvOptions;
using gradthru::PsaUnits;
using support::conv_case;
using support::ConvCase;
using support::kCodings;
using support::Random;

const std::vector<at::ScalarType> kDtypes = {at::kDouble, at::kFloat};

std::vector<ConvCase> cases_of_bits(at::ScalarType dtype) {
  Random random(13);
  return {conv_case(random, {5, 7, 26, 9, 8, {3, 3}}, {.stride = {2, 1}, .padding = {1, 1}},
                    kCodings[0], dtype),
          conv_case(random, {37, 33, 50, 1, 1, {1, 1}}, {}, kCodings[0], dtype),
          conv_case(random, {2, 8, 130, 13, 11, {3, 3}}, {.groups = 2}, kCodings[0], dtype)};
}

at::Tensor run(const ConvCase& c) {
  return gradthru::psa_conv2d(c.units, c.weight, c.input, kCodings[0], c.options);
}

TEST(Psa, BitsDoNotDependOnThreads) {
  for (const at::ScalarType dtype : kDtypes) {
    for (const ConvCase& c : cases_of_bits(dtype)) {
      at::Tensor one;
      for (const int count : {1, 2, 3}) {
        const support::Threads threads(count);
        const at::Tensor grad = run(c);
        if (count == 1) one = grad;
        EXPECT_TRUE(at::equal(grad, one)) << c.what << " with " << count << " threads";
      }
    }
  }
}

TEST(Psa, BitsDoNotDependOnTheSplitOfTheBatch) {
  for (const ConvCase& c : cases_of_bits(at::kFloat)) {
    const at::Tensor whole = run(c);
    std::vector<at::Tensor> pieces;
    for (int64_t b = 0; b < whole.size(0); b += 3) {
      const auto piece = [&](const at::Tensor& t) {
        return t.slice(0, b, std::min(b + 3, t.size(0)));
      };
      pieces.push_back(gradthru::psa_conv2d(
          {piece(c.units.flip_grad), piece(c.units.preactivation), piece(c.units.state)}, c.weight,
          piece(c.input), kCodings[0], c.options));
    }
    EXPECT_TRUE(at::equal(at::cat(pieces), whole)) << c.what;
  }
}

TEST(Psa, BitsDoNotDependOnTheLayout) {
  for (const at::ScalarType dtype : kDtypes) {
    for (const ConvCase& c : cases_of_bits(dtype)) {
      const at::Tensor plain = run(c);
      const auto last = [](const at::Tensor& t) {
        return t.contiguous(at::MemoryFormat::ChannelsLast);
      };
      const auto strided = [](const at::Tensor& t) {
        return at::stack({t, t + 1}, -1).select(-1, 0);
      };
      const PsaUnits mixed = {last(c.units.flip_grad), strided(c.units.preactivation),
                              c.units.state};
      for (const bool input_last : {false, true}) {
        const at::Tensor input = input_last ? last(c.input) : strided(c.input);
        const at::Tensor grad =
            gradthru::psa_conv2d(mixed, strided(c.weight), input, kCodings[0], c.options);
        EXPECT_TRUE(at::equal(grad, plain)) << c.what;
        if (input_last && c.input.size(3) > 1) {
          EXPECT_TRUE(grad.is_contiguous(at::MemoryFormat::ChannelsLast)) << c.what;
        }
      }
    }
  }
}

TEST(Psa, EmptyTensorsGiveEmptyOrZeroGradients) {
  for (const at::ScalarType dtype : kDtypes) {
    const auto zeros = [&](at::IntArrayRef shape) { return at::zeros(shape, dtype); };
    const auto linear = [&](int64_t batch, int64_t out, int64_t in) {
      const at::Tensor a = zeros({batch, out});
      return gradthru::psa_linear({a, a, a}, zeros({out, in}), zeros({batch, in}), kCodings[0]);
    };
    EXPECT_EQ(linear(0, 3, 4).sizes(), at::IntArrayRef({0, 4}));
    EXPECT_EQ(linear(2, 3, 0).sizes(), at::IntArrayRef({2, 0}));
    EXPECT_TRUE(at::equal(linear(2, 0, 4), zeros({2, 4})));
    const auto conv = [&](int64_t batch, int64_t out, int64_t in) {
      const at::Tensor a = zeros({batch, out, 3, 3});
      return gradthru::psa_conv2d({a, a, a}, zeros({out, in, 3, 3}), zeros({batch, in, 5, 5}),
                                  kCodings[0]);
    };
    EXPECT_EQ(conv(0, 2, 3).sizes(), at::IntArrayRef({0, 3, 5, 5}));
    EXPECT_EQ(conv(2, 2, 0).sizes(), at::IntArrayRef({2, 0, 5, 5}));
    EXPECT_TRUE(at::equal(conv(2, 0, 3), zeros({2, 3, 5, 5})));
  }
}

TEST(PsaConv2d, InputsThatNoTapReachesHaveNoGradient) {
  Random random(14);
  const ConvCase c =
      conv_case(random, {2, 3, 4, 8, 8, {2, 2}}, {.stride = {3, 3}}, kCodings[0], at::kFloat);
  const at::Tensor grad = run(c);
  EXPECT_EQ(grad.slice(2, 2, 3).abs().max().item<float>(), 0);
  EXPECT_EQ(grad.slice(3, 5, 6).abs().max().item<float>(), 0);
  EXPECT_GT(grad.slice(2, 0, 2).slice(3, 0, 2).abs().min().item<float>(), 0);
}

/// The call fails and says so.
template <class Call>
void expect_message(const Call& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "accepted; wanted: " << part;
  } catch (const c10::Error& error) {
    EXPECT_NE(error.msg().find(part), std::string::npos) << error.msg();
  }
}

TEST(Psa, RefusesWhatDoesNotFitInWords) {
  const at::Tensor a = at::zeros({2, 3}), w = at::zeros({3, 4}), x = at::zeros({2, 4});
  const auto linear = [](const PsaUnits& units, const at::Tensor& weight, const at::Tensor& input) {
    return [=] { gradthru::psa_linear(units, weight, input, kCodings[0]); };
  };
  expect_message(linear({a, a, a}, w, at::zeros({2, 5})),
                 "psa_linear: input must have shape [2, 4], got [2, 5]");
  expect_message(linear({a, a, a}, at::zeros({4, 4}), x), "preactivation must be [..., 4]");
  expect_message(linear({a, a, a}, at::zeros({3}), x), "weight must be [out, in], got shape [3]");
  expect_message(linear({x, a, a}, w, x), "flip_grad must have the shape of the preactivation");
  expect_message(linear({a, a, x}, w, x), "state must have the shape of the preactivation");
  expect_message(linear({a, a, a}, w.to(at::kDouble), x), "weight must have dtype Float");
  expect_message(linear({a, a.to(at::kHalf), a}, w, x), "must be float32 or float64, got Half");

  const at::Tensor above = at::zeros({2, 4, 3, 3}), kernel = at::zeros({4, 2, 3, 3}),
                   below = at::zeros({2, 2, 5, 5});
  const auto conv = [&](const at::Tensor& weight, const at::Tensor& input,
                        const ConvOptions& options) {
    return
        [=] { gradthru::psa_conv2d({above, above, above}, weight, input, kCodings[0], options); };
  };
  expect_message(conv(kernel, below, {.stride = {0, 1}}),
                 "psa_conv2d: stride must be two numbers >= 1, got [0, 1]");
  expect_message(conv(kernel, below, {.padding = {0, -1}}), "padding must be two numbers >= 0");
  expect_message(conv(kernel, below, {.dilation = {1, 0}}), "dilation must be two numbers >= 1");
  expect_message(conv(kernel, below, {.groups = 3}), "divide the 4 output channels, got 3");
  expect_message(conv(kernel, below, {.groups = 2}), "input must be [batch, 4, rows, columns]");
  expect_message(conv(kernel, at::zeros({2, 2, 2, 5}), {}), "the kernel does not fit");
  expect_message(conv(kernel, below, {.padding = {1, 1}}),
                 "preactivation must have shape [2, 4, 5, 5]");
  expect_message(conv(at::zeros({4, 2}), below, {}), "weight must be [out, in / groups, rows");
}

TEST(Psa, RefusesADerivativeOfItself) {
  const at::Tensor a = at::zeros({2, 3}).set_requires_grad(true);
  const at::Tensor d = gradthru::psa_linear({a.detach(), a, a.detach()}, at::ones({3, 4}),
                                            at::ones({2, 4}), kCodings[0]);
  expect_message([&] { d.sum().backward(); }, "second order is refused");
}

}  // namespace
