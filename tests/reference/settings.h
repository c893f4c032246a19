#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "reference/philox.h"
#include "reference/softmax.h"

namespace reference {

/// The parameters of every estimator; each reads those that its rule names.
struct Settings {
  double tau_f = 1;
  double tau_b = 1;
  bool scaled_logits = false;  ///< else scaled_sum
  double gap = 1;
  bool gap_from_probability = false;  ///< the gap written 'p'
  int64_t samples = 1;
  double alpha = 1;
  double t = std::numeric_limits<double>::infinity();
  double eta = 1;
  bool free_draw = false;  ///< else conditional
  Row values;
  bool consistent = true;
  bool detach = true;
};

/// What a backward may ask of the noise of one row (or one binary element).
struct Noise {
  std::function<double(int64_t column)> gumbel;
  std::function<double(int64_t draw, int64_t column)> exponential;
  std::function<double()> logistic;
  std::function<double(int64_t draw)> log_v;
  std::function<double(int64_t draw)> log_one_minus_v;
  bool given = false;  ///< the sample was given, not drawn
};

/// The noise of one row: the draw at `offset`, inner draw m at `offset` + 1 + m.
inline Noise row_noise(uint64_t seed, uint64_t offset, uint64_t row, bool given = false) {
  Noise noise;
  noise.gumbel = [=](int64_t k) {
    return gumbel_of(cell(seed, offset, row, static_cast<uint64_t>(k)));
  };
  noise.exponential = [=](int64_t m, int64_t k) {
    const uint64_t inner = offset + 1 + static_cast<uint64_t>(m);
    return exponential_of(cell(seed, inner, row, static_cast<uint64_t>(k)));
  };
  noise.given = given;
  return noise;
}

/// The noise of one binary element: element e sits at row e div 2^32, column e mod 2^32.
inline Noise element_noise(uint64_t seed, uint64_t offset, uint64_t element, bool given = false) {
  const uint64_t row = element >> 32;
  const uint64_t column = element & 0xFFFFFFFFu;
  const auto inner = [=](int64_t m) {
    return cell(seed, offset + 1 + static_cast<uint64_t>(m), row, column);
  };
  Noise noise;
  noise.logistic = [=] { return logistic_of(cell(seed, offset, row, column)); };
  noise.log_v = [=](int64_t m) { return log_v_of(inner(m)); };
  noise.log_one_minus_v = [=](int64_t m) { return log_one_minus_v_of(inner(m)); };
  noise.given = given;
  return noise;
}

/// Gumbels and exponentials written down by hand.
inline Noise listed_noise(const Row& gumbels, const std::vector<Row>& exponentials) {
  Noise noise;
  noise.gumbel = [=](int64_t k) { return gumbels.at(static_cast<size_t>(k)); };
  noise.exponential = [=](int64_t m, int64_t k) {
    return exponentials.at(static_cast<size_t>(m)).at(static_cast<size_t>(k));
  };
  return noise;
}

}  // namespace reference
