#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "reference/gumbel_softmax.h"
#include "reference/uniform_mix.h"
#include "support/estimators.h"

// The slow reference of one row or one binary variable under every option.
namespace support {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class State {
  drawn,
  absent,  ///< skipped, or without categories: zero sample, zero gradient
  invalid  ///< NaN sample, NaN gradient
};

/// What a call says about one row: the estimator has the row's temperatures.
struct RowCall {
  Row logits, g;
  std::vector<bool> mask;
  Estimator e;
  double uniform_mix = 0;
  std::optional<int64_t> given{};
  bool temperatures_valid = true;
};

struct RowOutcome {
  State state = State::drawn;
  int64_t index = -1;
  Row value, grad;
  std::vector<bool> allowed;
  bool nan_grad = false;   ///< NaN arrived at an allowed category
  double probability = 1;  ///< of the drawn category
};

inline bool valid_temperature(double tau) {
  return tau > 0 && tau < kInfinity;
}

/// Noise in which column k is column kept[k] of the row.
inline reference::Noise noise_of_columns(const reference::Noise& noise,
                                         const std::vector<int64_t>& kept) {
  reference::Noise mapped = noise;
  mapped.gumbel = [=](int64_t k) { return noise.gumbel(kept.at(static_cast<size_t>(k))); };
  mapped.exponential = [=](int64_t m, int64_t k) {
    return noise.exponential(m, kept.at(static_cast<size_t>(k)));
  };
  return mapped;
}

inline Row picked(const Row& row, const std::vector<int64_t>& kept) {
  Row few;
  for (int64_t k : kept) few.push_back(row[static_cast<size_t>(k)]);
  return few;
}

inline Row put_back(const Row& few, const std::vector<int64_t>& kept, size_t categories) {
  Row row(categories, 0.0);
  for (size_t i = 0; i < kept.size(); ++i) row[static_cast<size_t>(kept[i])] = few[i];
  return row;
}

/// The position among the kept categories that is drawn.
inline int64_t drawn_position(const Row& logits, const RowCall& call, const reference::Noise& noise,
                              double u) {
  if (draw_of(call.e.method) == Draw::gumbel)
    return reference::gumbel_argmax(logits, settings_of(call.e), noise);
  if (call.uniform_mix == 0) return reference::inverse_cdf(logits, sampling_tau(call.e), u);
  const Row law = reference::mixed_law(logits, sampling_tau(call.e), call.uniform_mix);
  return reference::inverse_cdf(reference::log_of(law), 1, u);
}

inline Row rule_of(const Row& logits, int64_t position, const Row& g, const RowCall& call,
                   const reference::Noise& noise) {
  const auto rule = reference_of(call.e.method).grad;
  const reference::Settings settings = settings_of(call.e);
  if (call.uniform_mix == 0) return rule(logits, position, g, settings, noise);
  if (call.e.method == Method::st)
    return reference::scaled(rule(logits, position, g, settings, noise), 1 - call.uniform_mix);
  return reference::mixed_rule(rule, logits, position, g, settings, noise, call.uniform_mix);
}

inline Row value_of(const Row& logits, int64_t position, const Estimator& e,
                    const reference::Noise& noise) {
  if (e.hard) return reference::onehot(position, reference::size(logits));
  const reference::Settings settings = settings_of(e);
  return noise.given ? reference::gumbel_rao_surrogate(logits, position, settings, noise, 0)
                     : reference::gumbel_softmax_surrogate(logits, settings, noise);
}

/// Whether the row is drawn at all, and which categories exist.
inline RowOutcome examined(const RowCall& call, std::vector<int64_t>* kept) {
  RowOutcome out;
  bool bad = !call.temperatures_valid;
  for (size_t k = 0; k < call.logits.size(); ++k) {
    out.allowed.push_back(call.mask[k] && call.logits[k] != -kInfinity);
    if (!out.allowed[k]) continue;
    kept->push_back(static_cast<int64_t>(k));
    bad = bad || std::isnan(call.logits[k]) || call.logits[k] == kInfinity;
    out.nan_grad = out.nan_grad || std::isnan(call.g[k]);
  }
  const auto categories = static_cast<int64_t>(call.logits.size());
  const int64_t given = call.given.value_or(-1);
  if (call.given && given != -1)
    bad = bad || given < 0 || given >= categories || !out.allowed[static_cast<size_t>(given)];
  if (bad) out.state = State::invalid;
  if (call.given == -1 || (!bad && kept->empty())) out.state = State::absent;
  return out;
}

/// The call as it is for the kept categories alone.
inline RowCall of_kept(RowCall call, const std::vector<int64_t>& kept) {
  call.logits = picked(call.logits, kept);
  call.g = picked(call.g, kept);
  if (!call.e.values.empty()) call.e.values = picked(call.e.values, kept);
  return call;
}

/// Row number `row` of the call with this key, whose offset is that of the sample.
inline RowOutcome reference_row(const RowCall& whole, const gradthru::Key& key, int64_t row) {
  std::vector<int64_t> kept;
  RowOutcome out = examined(whole, &kept);
  const size_t categories = whole.logits.size();
  if (out.state != State::drawn) {
    const double filling = out.state == State::invalid ? kNan : 0;
    out.value = out.grad = Row(categories, filling);
    return out;
  }
  const uint64_t number = static_cast<uint64_t>(key.row0 + row);
  const reference::Noise noise = noise_of_columns(
      reference::row_noise(key.seed, key.offset, number, whole.given.has_value()), kept);
  const RowCall call = of_kept(whole, kept);
  const double u = reference::uniform_of(reference::cell(key.seed, key.offset, number, 0));
  int64_t position = 0;
  if (call.given) {
    while (kept[static_cast<size_t>(position)] != *call.given) ++position;
  } else {
    position = drawn_position(call.logits, call, noise, u);
  }
  out.index = kept[static_cast<size_t>(position)];
  out.value = put_back(value_of(call.logits, position, call.e, noise), kept, categories);
  out.grad = put_back(rule_of(call.logits, position, call.g, call, noise), kept, categories);
  const double tau = sampling_tau(call.e);
  if (tau > 0)
    out.probability = reference::softmax(call.logits, tau)[static_cast<size_t>(position)];
  return out;
}

/// What a call says about one binary variable.
struct ElementCall {
  double logit = 0, g = 0;
  Estimator e;
  double uniform_mix = 0;
  bool plus_minus_one = false;
  std::optional<int> given{};
  bool temperatures_valid = true;
};

struct ElementOutcome {
  double value = kNan, grad = kNan;
};

/// P(b = 1), and with it the bit: b = 1 where the logistic exceeds minus the logit of P.
inline int drawn_bit(const ElementCall& call, double logistic) {
  const double tau = sampling_tau(call.e);
  if (call.uniform_mix == 0 && tau > 0) return reference::sample_bit(call.logit, tau, logistic);
  if (call.uniform_mix == 0) return call.logit >= 0 ? 1 : 0;
  const Row law = reference::mixed_law({call.logit, 0}, tau, call.uniform_mix);
  return std::log(law[0]) - std::log(law[1]) + logistic > 0 ? 1 : 0;
}

inline double binary_rule(const ElementCall& call, int bit, double g,
                          const reference::Noise& noise) {
  if (call.uniform_mix == 0)
    return reference_of(call.e.method).binary(call.logit, bit, g, settings_of(call.e), noise);
  RowCall row;
  row.e = call.e;
  row.uniform_mix = call.uniform_mix;
  return rule_of({call.logit, 0}, bit == 1 ? 0 : 1, {g, 0}, row, noise)[0];
}

/// Element number `element` of the call with this key, whose offset is that of the sample.
inline ElementOutcome reference_element(const ElementCall& call, const gradthru::Key& key,
                                        int64_t element) {
  if (!call.temperatures_valid || std::isnan(call.logit)) return {};
  const reference::Noise noise = reference::element_noise(
      key.seed, key.offset, static_cast<uint64_t>(key.row0 + element), call.given.has_value());
  const int bit = call.given ? *call.given : drawn_bit(call, noise.logistic());
  double share = bit;
  if (!call.e.hard) {
    const reference::Settings settings = settings_of(call.e);
    share = reference::sigmoid(
        noise.given ? reference::gumbel_rao_binary_argument(call.logit, bit, settings, noise, 0)
                    : reference::gumbel_softmax_binary_argument(call.logit, settings, noise));
  }
  const double span = call.plus_minus_one ? 2 : 1;
  return {span * share - (span - 1), binary_rule(call, bit, span * call.g, noise)};
}

}  // namespace support
