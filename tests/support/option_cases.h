#pragma once

#include <string>
#include <vector>

#include "support/layouts.h"
#include "support/option_case.h"
#include "support/random.h"

// The calls that try one option each, for the table of options.
namespace support {

using Cases = std::vector<Case>;

/// Sizes on both sides of where the kernels change their ways.
inline const std::vector<int64_t> kOptionSizes = {3, 19, 130};

inline const std::vector<at::ScalarType> kFullDtypes = {at::kDouble, at::kFloat};

/// [6, K] unless another shape is asked for.
inline Case plain(const std::string& what, int64_t categories, uint64_t seed,
                  std::vector<int64_t> shape = {}) {
  Random random(seed);
  if (shape.empty()) shape = {6, categories};
  const at::Tensor logits = random.normal(shape, kLogitScale), g = random.normal(shape);
  return {what + " K=" + std::to_string(categories), logits, g, {}};
}

/// The same with S samples: the gradient that arrives has a leading dimension.
inline Case with_samples(Case c, int64_t samples) {
  std::vector<int64_t> shape = c.g.sizes().vec();
  shape.insert(shape.begin(), samples);
  c.g = Random(77).normal(shape);
  c.options.samples = samples;
  c.what += " S=" + std::to_string(samples);
  return c;
}

inline Cases dim_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes)
    for (const Shape& shape : shapes(K)) {
      cases.push_back(plain(shape.name, K, 1, shape.sizes));
      cases.back().options.dim = shape.dim;
    }
  return cases;
}

inline Cases stride_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes)
    for (const Shape& shape : shapes(K))
      for (Layout layout : kLayouts) {
        Case c = plain(shape.name + " " + name_of(layout), K, 2, shape.sizes);
        c.logits = arranged(c.logits, layout, shape.row_dim);
        c.g = arranged(c.g, layout, shape.row_dim);
        c.options.dim = shape.dim;
        cases.push_back(c);
      }
  return cases;
}

/// Flags of which about a third are false; row 2 has none, row 3 only the last.
inline at::Tensor random_mask(int64_t categories, uint64_t seed) {
  at::Tensor mask = Random(seed).integers({6, categories}, 0, 2).ne(0);
  mask[1][0].fill_(true);
  mask[2].fill_(false);
  mask[3].fill_(false);
  mask[3][categories - 1].fill_(true);
  return mask;
}

/// What a masked category holds must not matter.
inline Case with_garbage(Case c, const at::Tensor& mask) {
  const at::Tensor broad = mask.expand(c.logits.sizes());
  const at::Tensor garbage = at::arange(c.logits.numel()).remainder(3).reshape(c.logits.sizes());
  const at::Tensor bad = at::where(garbage.eq(0), at::full({}, kNan, at::kDouble),
                                   at::where(garbage.eq(1), at::full({}, kInfinity, at::kDouble),
                                             at::full({}, 1e30, at::kDouble)));
  c.logits = at::where(broad, c.logits, bad);
  c.g = at::where(broad, c.g, at::full({}, kNan, at::kDouble));
  c.options.mask = mask;
  return c;
}

inline Cases mask_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes) {
    const at::Tensor mask = random_mask(K, 3);
    cases.push_back(with_garbage(plain("mask", K, 4), mask));
    cases.push_back(with_garbage(plain("mask of one row", K, 5), mask[0].clone()));
    const at::Tensor per_row = at::arange(6).remainder(2).eq(0).unsqueeze(1);
    cases.push_back(with_garbage(plain("mask per row", K, 6), per_row));
    Case strided = with_garbage(plain("mask along dim 1", K, 7, {2, K, 3}), mask[0].unsqueeze(1));
    strided.options.dim = 1;
    cases.push_back(strided);
    Case transposed = with_garbage(plain("transposed mask", K, 8), mask);
    transposed.options.mask = mask.t().contiguous().t();
    cases.push_back(transposed);
    Case both = with_garbage(plain("mask and -inf", K, 9), mask);
    both.logits.select(1, 1).fill_(-kInfinity);
    cases.push_back(both);
    Case several = plain("mask", K, 10);
    several.options.mask = mask;
    cases.push_back(with_samples(several, 2));
  }
  return cases;
}

inline Cases minus_inf_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes) {
    Case c = plain("-inf", K, 11);
    const at::Tensor mask = random_mask(K, 12);
    c.logits = at::where(mask, c.logits, at::full({}, -kInfinity, at::kDouble));
    c.g = at::where(mask, c.g, at::full({}, kNan, at::kDouble));
    cases.push_back(c);
  }
  return cases;
}

inline Cases uniform_mix_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes)
    for (double mix : {0.1, 0.6}) {
      Case c = plain("uniform_mix " + std::to_string(mix), K, 13);
      c.options.uniform_mix = mix;
      cases.push_back(c);
      cases.push_back(with_samples(c, 3));
      Case masked = with_garbage(c, random_mask(K, 14));
      masked.what += " mask";
      cases.push_back(masked);
      c.options.index = Random(15).integers({6}, -1, K - 1);
      c.what += " given";
      cases.push_back(c);
    }
  return cases;
}

/// Temperatures of six rows in the ways they may be given; the last of them makes rows invalid.
inline std::vector<std::pair<std::string, at::Tensor>> row_temperatures() {
  const at::Tensor six = tensor_of({0.5, 2, 0.75, 1.25, 1, 0.625});
  return {{"per row", six},
          {"in float32", six.to(at::kFloat)},
          {"one for all", tensor_of({0.75})},
          {"a scalar tensor", at::scalar_tensor(1.5, at::kDouble)},
          {"with stride 2", at::stack({six, six}, 1).select(1, 0)},
          {"with bad entries", tensor_of({0.5, 0, -1, kNan, kInfinity, 2})}};
}

/// Tensors for tau_f (first), tau_b (second) or both.
inline Cases temperature_cases(bool forward, bool backward) {
  Cases cases;
  const auto add = [&](Case c, const at::Tensor& tau, const std::string& what) {
    if (forward) c.options.tau_f = tau;
    if (backward) c.options.tau_b = tau;
    c.what += std::string(forward ? " tau_f" : "") + (backward ? " tau_b " : " ") + what;
    cases.push_back(c);
  };
  for (int64_t K : kOptionSizes) {
    for (const auto& [what, tau] : row_temperatures()) add(plain("", K, 16), tau, what);
    const at::Tensor six = row_temperatures()[0].second;
    Case between = plain("dim 1", K, 17, {2, K, 3});
    between.options.dim = 1;
    add(between, six.slice(0, 0, 3), "for the last dimension");
    add(between, six.slice(0, 0, 2).unsqueeze(1), "for the first dimension");
    add(with_samples(plain("", K, 18), 2), six, "and samples");
    add(with_garbage(plain("", K, 19),
                     random_mask(K, 20).index_fill(0, index_tensor({2}), at::scalar_tensor(true))),
        six, "and a mask");
    Case given = plain("given", K, 21);
    given.options.index = Random(22).integers({6}, 0, K - 1);
    add(given, six, "and an index");
  }
  return cases;
}

inline Cases index_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes) {
    Case c = plain("index", K, 23);
    c.options.index = index_tensor({0, K - 1, -1, K, -2, 1});
    cases.push_back(c);
    cases.push_back(with_samples(c, 3));
    Case each = with_samples(plain("index per sample", K, 24), 2);
    each.options.index = Random(25).integers({2, 6}, -1, K - 1);
    cases.push_back(each);
    Case masked = plain("masked index", K, 26);
    masked.options.mask =
        at::ones({K}, at::kBool).index_fill(0, index_tensor({1}), at::scalar_tensor(false));
    masked.options.index = index_tensor({0, 1, 2, 2, 1, 0});
    cases.push_back(masked);
    Case invalid = plain("index in rows with NaN and +inf", K, 47);
    invalid.logits[1][0].fill_(kNan);
    invalid.logits[2][K - 1].fill_(kInfinity);
    invalid.options.index = index_tensor({0, 1, 1, -1, K - 1, 0});
    cases.push_back(invalid);
  }
  return cases;
}

inline Cases sample_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes) {
    cases.push_back(with_samples(plain("", K, 27), 1));
    cases.push_back(with_samples(plain("", K, 28), 4));
    Case between = with_samples(plain("dim 1", K, 29, {2, K, 3}), 3);
    between.options.dim = 1;
    cases.push_back(between);
  }
  return cases;
}

inline Cases invalid_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes) {
    Case c = plain("NaN and +inf", K, 30);
    c.logits[1][0].fill_(kNan);
    c.logits[2][K - 1].fill_(kInfinity);
    c.logits[3].fill_(kNan);
    cases.push_back(c);
    cases.push_back(with_samples(c, 2));
    Case arriving = plain("NaN arrives", K, 31);
    arriving.g[1][K - 1].fill_(kNan);
    arriving.g[4].fill_(kNan);
    cases.push_back(arriving);
  }
  return cases;
}

/// Numbers that every dtype represents.
inline Cases dtype_cases() {
  Cases cases;
  for (int64_t K : kOptionSizes) {
    Case c = plain("", K, 32);
    cases.push_back(c);
    cases.push_back(with_samples(c, 3));
    cases.push_back(plain("dim 1", K, 33, {2, K, 3}));
    cases.back().options.dim = 1;
    Case masked = plain("mask", K, 34);
    masked.options.mask = random_mask(K, 35);
    cases.push_back(masked);
    Case invalid = plain("NaN and -inf", K, 36);
    invalid.logits[1][0].fill_(kNan);
    invalid.logits[2].fill_(-kInfinity);
    cases.push_back(invalid);
  }
  for (Case& c : cases) {
    c.logits = c.logits.to(at::kBFloat16).to(at::kDouble);
    c.g = c.g.to(at::kBFloat16).to(at::kDouble);
  }
  return cases;
}

}  // namespace support
